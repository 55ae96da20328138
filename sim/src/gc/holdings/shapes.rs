//! Fields of the requests, as the strict schemas of the published models have them.

use super::super::schema::{Field, Type, may, must};

pub(super) const CREATE_USER: &[Field] = &[
    may("active", Type::Flag),
    must("userName", Type::Text),
    must("displayName", Type::Text),
    may("password", Type::Text),
    may("title", Type::Text),
    may("phoneNumbers", Type::Any),
    may("emails", EMAILS),
    may("externalId", Type::Text),
    may("roles", ROLES),
    may(super::scim::ENTERPRISE, ENTERPRISE),
    may(super::scim::GENESYS, GENESYS),
];

pub(super) const EMAILS: Type = Type::Objects(
    "ScimEmail",
    &[
        may("value", Type::Text),
        may("type", Type::OneOf(&["work", "other"])),
        may("primary", Type::Flag),
    ],
);

const ROLES: Type = Type::Objects("ScimUserRole", &[may("value", Type::Text)]);

const ENTERPRISE: Type = Type::Object(
    "ScimV2EnterpriseUser",
    &[
        may("division", Type::Text),
        may("department", Type::Text),
        may("manager", Type::Any),
        may("employeeNumber", Type::Text),
        may("dateHire", Type::Text),
    ],
);

const GENESYS: Type = Type::Object(
    "ScimUserExtensions",
    &[
        may(
            "routingSkills",
            Type::Objects(
                "ScimUserRoutingSkill",
                &[must("name", Type::Text), may("proficiency", Type::Tenths(0, 50))],
            ),
        ),
        may("routingLanguages", Type::Any),
        may("externalIds", Type::Any),
    ],
);

pub(super) const PATCH: &[Field] = &[
    must("schemas", Type::Texts),
    may(
        "Operations",
        Type::Objects(
            "ScimV2PatchOperation",
            &[
                must("op", Type::OneOf(&["add", "replace", "remove"])),
                may("path", Type::Text),
                may("value", Type::Any),
            ],
        ),
    ),
];

pub(super) const SKILL: &[Field] = &[must("name", Type::Text)];

pub(super) const USER_SKILL: &[Field] =
    &[must("id", Type::Uuid), must("proficiency", Type::Tenths(0, 50))];

pub(super) const GRANTS: &[Field] = &[must(
    "grants",
    Type::Objects(
        "RoleDivisionPair",
        &[must("roleId", Type::Uuid), must("divisionId", Type::Uuid)],
    ),
)];

pub(super) const SOURCE: &[Field] = &[
    must("name", Type::Text),
    may("description", Type::Text),
    may("type", Type::OneOf(&["System", "User"])),
    may("deactivated", Type::Flag),
];

pub(super) const PRIMARY_SOURCE: &[Field] =
    &[may("name", Type::Text), may("sourceId", Type::Uuid), may("registered", Type::Flag)];

pub(super) const REFERENCE: &[Field] = &[may("id", Type::Text)];

const DIVISION: Type =
    Type::Object("WritableDivision", &[may("id", Type::Uuid), may("name", Type::Text)]);

pub(super) const CODE: &[Field] = &[
    must("name", Type::Text),
    may("division", DIVISION),
    may("description", Type::Text),
    may("dateCreated", Type::Moment),
    may("dateModified", Type::Moment),
    may("createdBy", Type::Text),
    may("modifiedBy", Type::Text),
];

pub(super) const QUEUE: &[Field] = &[
    must("name", Type::Text),
    may("division", DIVISION),
    may("description", Type::Text),
    may("dateCreated", Type::Moment),
    may("dateModified", Type::Moment),
    may("modifiedBy", Type::Text),
    may("createdBy", Type::Text),
    may("mediaSettings", Type::Any),
    may("routingRules", Type::Any),
    may("conditionalGroupRouting", Type::Any),
    may("conditionalGroupActivation", Type::Any),
    may("bullseye", Type::Any),
    may("scoringMethod", Type::OneOf(&["TimestampAndPriority", "PriorityOnly"])),
    may("lastAgentRoutingMode", Type::Text),
    may("acwSettings", Type::Any),
    may("skillEvaluationMethod", Type::Text),
    may("memberGroups", Type::Any),
    may("queueFlow", Type::Any),
    may("emailInQueueFlow", Type::Any),
    may("messageInQueueFlow", Type::Any),
    may("whisperPrompt", Type::Any),
    may("onHoldPrompt", Type::Any),
    may("autoAnswerOnly", Type::Flag),
    may("cannedResponseLibraries", Type::Any),
    may("enableTranscription", Type::Flag),
    may("enableAudioMonitoring", Type::Flag),
    may("enableManualAssignment", Type::Flag),
    may("agentOwnedRouting", Type::Any),
    may("directRouting", Type::Any),
    may("callingPartyName", Type::Text),
    may("callingPartyNumber", Type::Text),
    may("defaultScripts", Type::Any),
    may("outboundMessagingAddresses", Type::Any),
    may("outboundEmailAddress", Type::Any),
    may("peerId", Type::Text),
    may("suppressInQueueCallRecording", Type::Flag),
];

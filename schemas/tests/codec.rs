//! Every value comes back as it was, in the wire format that other tools read; what is none is
//! named.

use apache_avro::reader::datum::GenericDatumReader;
use apache_avro::types::Value;
use proptest::prelude::*;
use serde::{Deserialize, Serialize};
use trunkline_schemas::codec::{
    self, BUILT_IN, CodecError, ConfigValue, DesiredValue, DirectoryValue, FINGERPRINT_HEADER,
};
use trunkline_schemas::codec::{Schemed, decode, encode};
use trunkline_schemas::command::*;
use trunkline_schemas::configdb::{self, ConfigObject, DnType, ObjectType};
use trunkline_schemas::desired::{self, DesiredKind, DesiredObject, Division, UserKind};
use trunkline_schemas::directory::*;
use trunkline_schemas::raw::{RawKind, Stream};
use trunkline_schemas::segment::LegKind;
use trunkline_schemas::state::StateValue;
use trunkline_schemas::{
    ConfigOutcome, ConversationCommand, DirectoryRow, Outcome, OutcomeStatus, PresenceChange,
    PresenceCommand, PresenceOutcome, RawEvent, RoutingStatus, Segment, SystemPresence, VoiceEvent,
};

fn id() -> String {
    "01234567-89ab-4cde-8f01-23456789abcd".to_owned()
}

#[expect(clippy::unnecessary_wraps, reason = "the fields it fills are optional")]
fn some(text: &str) -> Option<String> {
    Some(text.to_owned())
}

fn began() -> InitialConfiguration {
    InitialConfiguration {
        audio_state: Some(AudioState { can_hear: true, can_speak: false }),
        alerting: Some(true),
        inbound: Some(false),
        invited_by: Some(id()),
        recording_active: Some(true),
    }
}

fn source() -> SourceConfiguration {
    SourceConfiguration { source_id: id(), interaction_id: id(), tag_id: some("tag") }
}

/// Each of the 18 events, every field filled.
fn events() -> Vec<VoiceEvent> {
    let (communication_id, command_id) = (id(), id());
    let (initial_configuration, source_configuration) = (began(), source());
    let (ani, dnis, list) = (some("+1"), some("+2"), Some(vec![id(), id()]));
    vec![
        VoiceEvent::ExternalEstablished(ExternalEstablished {
            communication_id: communication_id.clone(),
            ani: ani.clone(),
            ani_name: some("a"),
            dnis: dnis.clone(),
            dnis_name: some("b"),
            initial_configuration: initial_configuration.clone(),
            source_configuration: source_configuration.clone(),
        }),
        VoiceEvent::IvrEstablished(IvrEstablished {
            communication_id: communication_id.clone(),
            ivr_phone_number: some("5000"),
            ivr_name: some("ivr"),
            ani: ani.clone(),
            dnis: dnis.clone(),
            initial_configuration: InitialConfiguration::default(),
            source_configuration: SourceConfiguration::default(),
        }),
        VoiceEvent::PhoneEstablished(PhoneEstablished {
            communication_id: communication_id.clone(),
            phone_number: some("+3"),
            ani: ani.clone(),
            dnis: dnis.clone(),
            initial_configuration: initial_configuration.clone(),
            source_configuration: source_configuration.clone(),
        }),
        VoiceEvent::RoutingEstablished(RoutingEstablished {
            communication_id: communication_id.clone(),
            phone_number: some("+4"),
            queue_id: id(),
            ani: ani.clone(),
            dnis: dnis.clone(),
            skill_ids: list.clone(),
            language_id: Some(id()),
            initial_configuration: initial_configuration.clone(),
            source_configuration: source_configuration.clone(),
        }),
        VoiceEvent::UserEstablished(UserEstablished {
            communication_id: communication_id.clone(),
            phone_number: some("7001"),
            user_id: id(),
            station_id: Some(id()),
            ani,
            dnis,
            after_call_work_required: Some(true),
            queue_id: Some(id()),
            initial_configuration,
            source_configuration,
        }),
        VoiceEvent::CommunicationAnswered(CommunicationAnswered { communication_id: id() }),
        VoiceEvent::CommunicationEnded(CommunicationEnded {
            communication_id: id(),
            disconnect_type: DisconnectType::TransferAcd,
            destination_conversation_id: Some(id()),
        }),
        VoiceEvent::CommunicationDispositionApplied(CommunicationDispositionApplied {
            communication_id: id(),
            code: Some(id()),
            notes: some("n"),
            tags: list.clone(),
        }),
        VoiceEvent::HoldUpdated(HoldUpdated { communication_id: id(), held: true }),
        VoiceEvent::AudioUpdated(AudioUpdated {
            communication_id: id(),
            audio_state: AudioState { can_hear: false, can_speak: true },
        }),
        VoiceEvent::RoutingTransfer(RoutingTransfer {
            transfer_type: TransferType::Attended,
            command_id: command_id.clone(),
            initiating_communication_id: id(),
            target_communication_id: id(),
            object_communication_id: id(),
            destination_queue_id: id(),
            language_id: None,
            skill_ids: list,
        }),
        VoiceEvent::UserTransfer(UserTransfer {
            transfer_type: TransferType::Unattended,
            command_id: command_id.clone(),
            initiating_communication_id: id(),
            target_communication_id: id(),
            object_communication_id: id(),
            destination_user_id: id(),
        }),
        VoiceEvent::PhoneTransfer(PhoneTransfer {
            transfer_type: TransferType::Unattended,
            command_id: command_id.clone(),
            initiating_communication_id: id(),
            target_communication_id: id(),
            object_communication_id: id(),
            destination_phone_number: "+5".to_owned(),
        }),
        VoiceEvent::ProgressTransfer(ProgressTransfer {
            command_id: command_id.clone(),
            object_communication_id: id(),
            destination_communication_id: id(),
        }),
        VoiceEvent::EndTransfer(EndTransfer {
            command_id,
            final_state: FinalState::Canceled,
            object_communication_id: id(),
        }),
        VoiceEvent::ConsultTransfer(ConsultTransfer {
            initiating_communication_id: id(),
            destination_communication_id: id(),
            object_communication_id: id(),
        }),
        VoiceEvent::ProgressConsultTransfer(ProgressConsultTransfer {
            initiating_communication_id: id(),
            destination_communication_id: id(),
            object_communication_id: id(),
        }),
        VoiceEvent::EndConsultTransfer(EndConsultTransfer {}),
    ]
}

fn command(event: VoiceEvent) -> ConversationCommand {
    ConversationCommand {
        event_id: id(),
        conversation_id: id(),
        seq: 7,
        event_date_time_ms: 1_729_857_600_001,
        domain: "d".to_owned(),
        call_uuid: "01TESTSIPS1".to_owned(),
        cause: "raw.tlib/0@42".to_owned(),
        event,
    }
}

/// Reads a value as another Avro tool would: by the schema alone.
fn generic<T: Schemed>(bytes: &[u8]) -> Value {
    let reader = GenericDatumReader::builder(&BUILT_IN[T::INDEX].schema).build();
    let mut datum = &bytes[5..];
    let value = reader.expect("a schema").read_value(&mut datum).expect("a datum of its schema");
    assert!(datum.is_empty(), "nothing is left over");
    value
}

#[test]
fn each_of_the_18_events_comes_back() {
    let events = events();
    assert_eq!(events.len(), 18);
    let mut arrays: Vec<&str> = events.iter().map(VoiceEvent::array).collect();
    for (n, event) in events.iter().enumerate() {
        let command = command(event.clone());
        let bytes = encode(&command).expect("it encodes");
        assert_eq!(bytes[..5], [0, 0, 0, 0, 2]);
        assert_eq!(decode::<ConversationCommand>(&bytes).expect("it decodes"), command);
        let Value::Record(fields) = generic::<ConversationCommand>(&bytes) else {
            panic!("a command is a record")
        };
        let (_, Value::Union(branch, _)) = fields.last().expect("fields") else {
            panic!("the event is a union")
        };
        assert_eq!(*branch as usize, n, "the order of the union is that of the variants");
    }
    arrays.sort_unstable();
    arrays.dedup();
    assert_eq!(arrays.len(), 18, "each has an array of its own");
}

#[test]
fn every_other_value_comes_back() {
    fn back<T: Schemed + PartialEq + std::fmt::Debug>(value: &T) {
        let bytes = encode(value).expect("it encodes");
        assert_eq!(&decode::<T>(&bytes).expect("it decodes"), value);
        generic::<T>(&bytes);
    }
    for kind in [
        RawKind::Event,
        RawKind::LinkUp,
        RawKind::LinkDown,
        RawKind::Gap,
        RawKind::CaughtUp,
        RawKind::Tick,
        RawKind::DirectoryStart,
        RawKind::DirectoryRow,
        RawKind::DirectoryEnd,
        RawKind::AgentFact,
        RawKind::CallFact,
    ] {
        back(&RawEvent::bare(kind, "d", "sips1", 1));
    }
    back(&RawEvent {
        stream: Some(Stream::Vq),
        link: "b1/site1/vq/0".to_owned(),
        server_start: Some(1_764_000_000),
        sequence: Some(i64::MAX),
        name: some("EventQueued"),
        switch_time_us: Some(-1),
        call_uuid: some("U1"),
        conn_id: some("C1"),
        this_dn: some("VQ_Sales"),
        payload: vec![0, 255, 10],
        ..RawEvent::bare(RawKind::Event, "d", "sips1", 1)
    });
    for stream in [
        Stream::Call,
        Stream::Ext,
        Stream::Dn,
        Stream::Stat,
        Stream::AgentState,
        Stream::Interaction,
    ] {
        back(&RawEvent {
            stream: Some(stream),
            agent_id: some("A1001"),
            record_time: true,
            ..RawEvent::bare(RawKind::Event, "d", "stat1", 1)
        });
    }
    for status in [
        OutcomeStatus::Accepted,
        OutcomeStatus::AssumedApplied,
        OutcomeStatus::Refused,
        OutcomeStatus::Gated,
        OutcomeStatus::LeftOut,
        OutcomeStatus::Suspended,
    ] {
        back(&Outcome {
            status,
            conversation_id: id(),
            call_uuid: id(),
            domain: "d".to_owned(),
            event_id: Some(id()),
            seq: Some(3),
            event: some("holdUpdatedEvents"),
            code: some("internal"),
            reason: None,
            attempts: 2,
            at_ms: 5,
        });
        back(&PresenceOutcome {
            status,
            agent: "A1001".to_owned(),
            user_id: Some(id()),
            domain: "d".to_owned(),
            event_id: None,
            seq: Some(3),
            event: some("userPresenceEvents"),
            code: some("unknown_agent"),
            reason: None,
            attempts: 2,
            at_ms: 5,
        });
    }
    for kind in [LegKind::External, LegKind::Ivr, LegKind::Routing, LegKind::User, LegKind::Phone] {
        back(&Segment {
            conversation_id: id(),
            communication_id: id(),
            call_uuid: id(),
            domain: "d".to_owned(),
            kind,
            dn: some("7001"),
            employee_id: some("A1001"),
            user_id: Some(id()),
            queue_id: None,
            start_ms: 1,
            answered_ms: Some(2),
            end_ms: 3,
            disconnect: some("Self"),
        });
    }
    let at = DnAt { dn: "7001".to_owned(), switch: "SITE1".to_owned() };
    let (name, switch) = ("sips1".to_owned(), "SITE1".to_owned());
    for row in [
        DirectoryRow::Server(Server { name: name.clone(), switch: switch.clone() }),
        DirectoryRow::Agent(Agent { employee_id: id(), user_id: id(), logins: vec![at.clone()] }),
        DirectoryRow::Queue(Queue { dn: name.clone(), switch: switch.clone(), queue_id: id() }),
        DirectoryRow::Extension(Extension { dn: at.dn, switch }),
        DirectoryRow::WrapUpCode(WrapUpCode { name, id: id() }),
        DirectoryRow::Source(Source { source_id: id() }),
    ] {
        back(&DirectoryValue { row });
    }
    back(&StateValue { version: 1, body: b"{}".to_vec() });
}

#[test]
fn each_change_of_an_agent_comes_back() {
    let presences = SystemPresence::ALL.map(PresenceChange::Presence);
    let statuses = RoutingStatus::ALL.map(PresenceChange::Routing);
    for change in presences.into_iter().chain(statuses) {
        let command = PresenceCommand {
            event_id: id(),
            agent: "A1001".to_owned(),
            user_id: id(),
            domain: "d".to_owned(),
            seq: 7,
            at_ms: 1_729_857_600_001,
            change,
            cause: "raw.agent/0@42".to_owned(),
        };
        let bytes = encode(&command).expect("it encodes");
        assert_eq!(bytes[..5], [0, 0, 0, 0, 8]);
        assert_eq!(decode::<PresenceCommand>(&bytes).expect("it decodes"), command);
        let (branch, name, array) = match change {
            PresenceChange::Presence(presence) => (0, presence.name(), "userPresenceEvents"),
            PresenceChange::Routing(status) => (1, status.name(), "userRoutingStatusEvents"),
        };
        assert_eq!(change.array(), array);
        let Value::Record(fields) = generic::<PresenceCommand>(&bytes) else {
            panic!("a command is a record")
        };
        let found = fields.iter().find(|(name, _)| name == "change");
        let Some((_, Value::Union(found, value))) = found else { panic!("a change is a union") };
        let Value::Enum(_, symbol) = value.as_ref() else { panic!("of enums") };
        assert_eq!((*found, symbol.as_str()), (branch, name), "other tools read the names of GC");
    }
}

/// An object of each type; DNs of each type.
fn config_objects() -> Vec<ConfigObject> {
    let (name, folder) = ("VQ_Sales".to_owned(), Some(232));
    let value = configdb::AttributeValue { dbid: 104, name: name.clone(), enabled: false };
    let option = configdb::AnnexOption {
        section: "config_sync".to_owned(),
        name: "skill_level_max_value".to_owned(),
        value: "10".to_owned(),
    };
    let dn = |kind| {
        ConfigObject::Dn(configdb::Dn {
            dbid: 130,
            switch: 102,
            kind,
            number: name.clone(),
            alias: String::new(),
            enabled: true,
            folder,
            modified_ms: Some(1_681_909_525_000),
        })
    };
    let mut objects: Vec<ConfigObject> = DnType::ALL.map(dn).into();
    objects.extend([
        ConfigObject::Tenant(configdb::Tenant { dbid: 101, name: name.clone() }),
        ConfigObject::Switch(configdb::Switch { dbid: 102, name: name.clone() }),
        ConfigObject::Person(configdb::Person {
            dbid: 101,
            user_name: "a@example.com".to_owned(),
            employee_id: "E1".to_owned(),
            e_mail: String::new(),
            first_name: "A".to_owned(),
            last_name: String::new(),
            is_agent: true,
            enabled: true,
            folder: None,
            roles: some("Agent,Supervisor"),
            skills: vec![configdb::SkillLevel { skill: 101, level: -1 }],
        }),
        ConfigObject::Skill(configdb::Skill { dbid: 1, name: name.clone(), enabled: true, folder }),
        ConfigObject::AgentGroup(configdb::AgentGroup {
            dbid: 101,
            name: name.clone(),
            enabled: true,
            folder,
            queue: some("VQ_Sales"),
            script: some("Skill(\"Sales\") > 1"),
            members: vec![101, 102],
        }),
        ConfigObject::BusinessAttribute(configdb::BusinessAttribute {
            dbid: 102,
            name: name.clone(),
            operational: true,
            enabled: true,
            contains: some("dispositions"),
            values: vec![value],
        }),
        ConfigObject::Transaction(configdb::Transaction {
            dbid: 101,
            name: name.clone(),
            options: vec![option],
        }),
        ConfigObject::Folder(configdb::Folder { dbid: 202, name, kind: 3, parent: Some(201) }),
        ConfigObject::Poll(configdb::Poll { at_ms: 5, objects: 9, digest: "ab".to_owned() }),
    ]);
    objects
}

#[test]
fn each_object_of_engage_comes_back_by_its_key() {
    let mut keys = Vec::new();
    for object in config_objects() {
        let value = ConfigValue { object: object.clone() };
        let bytes = encode(&value).expect("it encodes");
        assert_eq!(bytes[..5], [0, 0, 0, 0, 11]);
        assert_eq!(decode::<ConfigValue>(&bytes).expect("it decodes"), value);
        generic::<ConfigValue>(&bytes);
        let named = object.kind().map(|kind| (kind, object.dbid()));
        assert_eq!(configdb::parse_key(&object.key()), named, "{}", object.key());
        keys.push(object.key());
    }
    assert_eq!(keys.iter().filter(|key| *key == "dn/130").count(), 5);
    keys.dedup();
    assert_eq!(keys.len(), 10, "each type has keys of its own");
    for kind in ObjectType::ALL {
        assert_eq!(ObjectType::of_number(kind.number()), Some(kind));
    }
    for kind in DnType::ALL {
        assert_eq!(DnType::of_number(kind.number()), Some(kind));
    }
    assert_eq!((ObjectType::of_number(4), DnType::of_number(2)), (None, None));
    for nothing in ["dn", "dn/", "dn/x", "host/1", ""] {
        assert_eq!(configdb::parse_key(nothing), None, "{nothing:?}");
    }
}

#[test]
fn each_desired_object_comes_back_by_its_key() {
    let name = || "Billing".to_owned();
    let user = |kind| {
        DesiredObject::User(desired::User {
            user_name: "Alice@Example.com".to_owned(),
            display_name: name(),
            e_mail: None,
            external_id: "101_alice".to_owned(),
            active: true,
            kind,
            roles: vec!["Employee".to_owned()],
            division: Division::Home,
            skills: vec![desired::UserSkill { name: name(), proficiency_tenths: 28 }],
            employee_ids: vec!["E1".to_owned()],
            persons: vec![101],
        })
    };
    let mut objects: Vec<DesiredObject> = UserKind::ALL.map(user).into();
    objects.extend([
        DesiredObject::Skill(desired::Skill { name: name(), skills: vec![103, 104] }),
        DesiredObject::Queue(desired::Queue {
            name: name(),
            description: name(),
            peer_id: "131".to_owned(),
            members: vec!["alice@example.com".to_owned()],
            wrap_up_codes: vec![name()],
            dns: vec![DnAt { dn: name(), switch: name() }],
            delete: false,
        }),
        DesiredObject::WrapUpCode(desired::WrapUpCode { name: name(), values: vec![name()] }),
        DesiredObject::Source(desired::Source { name: name() }),
    ]);
    for object in objects {
        let value = DesiredValue { object: object.clone() };
        let bytes = encode(&value).expect("it encodes");
        assert_eq!(bytes[..5], [0, 0, 0, 0, 12]);
        assert_eq!(decode::<DesiredValue>(&bytes).expect("it decodes"), value);
        generic::<DesiredValue>(&bytes);
        assert_eq!(DesiredKind::of_key(&object.key()), Some(object.kind()));
    }
    assert_eq!(user(UserKind::Agent).key(), "user/alice@example.com");
    assert_eq!(DesiredKind::of_key("person/101"), None);
    let outcome = ConfigOutcome {
        status: OutcomeStatus::LeftOut,
        object: "person/108".to_owned(),
        gc_id: None,
        action: None,
        code: some("no_e_mail"),
        reason: None,
        attempts: 0,
        at_ms: 5,
    };
    let bytes = encode(&outcome).expect("it encodes");
    assert_eq!(decode::<ConfigOutcome>(&bytes).expect("it decodes"), outcome);
}

/// A raw event as programs before agent states wrote it.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase", rename = "RawEvent")]
struct FirstRawEvent {
    kind: RawKind,
    domain: String,
    source: String,
    stream: Option<Stream>,
    link: String,
    server_start: Option<i64>,
    sequence: Option<i64>,
    name: Option<String>,
    switch_time_us: Option<i64>,
    received_time_us: i64,
    call_uuid: Option<String>,
    conn_id: Option<String>,
    this_dn: Option<String>,
    #[serde(with = "apache_avro::serde::bytes")]
    payload: Vec<u8>,
}

impl Schemed for FirstRawEvent {
    const INDEX: usize = 0;
}

#[test]
fn a_raw_event_of_the_first_schema_is_still_read() {
    let first = FirstRawEvent {
        kind: RawKind::Event,
        domain: "d".to_owned(),
        source: "sips1".to_owned(),
        stream: Some(Stream::Ext),
        link: "b1/site1/ext/0".to_owned(),
        server_start: Some(1_764_000_000),
        sequence: Some(3),
        name: some("EventRinging"),
        switch_time_us: Some(2),
        received_time_us: 1,
        call_uuid: some("U1"),
        conn_id: None,
        this_dn: some("7001"),
        payload: b"{}".to_vec(),
    };
    let bytes = encode(&first).expect("it encodes");
    let read: RawEvent = decode(&bytes).expect("it decodes");
    assert_eq!(
        read,
        RawEvent {
            stream: first.stream,
            link: first.link,
            server_start: first.server_start,
            sequence: first.sequence,
            name: first.name,
            switch_time_us: first.switch_time_us,
            call_uuid: first.call_uuid,
            this_dn: first.this_dn,
            payload: first.payload,
            ..RawEvent::bare(RawKind::Event, "d", "sips1", 1)
        }
    );
}

#[test]
fn what_is_no_value_is_named() {
    let outcome = |bytes: &[u8]| decode::<Outcome>(bytes).expect_err("no outcome").to_string();
    let event = encode(&RawEvent::bare(RawKind::Tick, "d", "s", 1)).expect("it encodes");
    for (bytes, said) in [
        (&b""[..], "not a value in the Confluent wire format: it is empty"),
        (&b"\x00\x00"[..], "it has no zero byte and schema id"),
        (&b"\x01\x00\x00\x00\x03rest"[..], "it has no zero byte and schema id"),
        (&b"\x00\x00\x00\x00\x63rest"[..], "schema id 99 is not built in"),
        (&b"\x00\xff\xff\xff\xffrest"[..], "schema id -1 is not built in"),
        (&event[..], "the value is a RawEvent, expected a Outcome"),
        (&b"\x00\x00\x00\x00\x03"[..], "the datum does not fit schema Outcome"),
    ] {
        assert!(outcome(bytes).contains(said), "{} does not say {said}", outcome(bytes));
    }
    let cut = decode::<RawEvent>(&event[..event.len() - 1]);
    assert!(matches!(cut, Err(CodecError::Datum { name: "RawEvent", .. })));
}

#[test]
fn a_record_carries_the_fingerprint_of_its_schema() {
    let event = RawEvent::bare(RawKind::Tick, "d", "s", 1);
    let record = codec::record("key", &event).expect("it encodes");
    let fingerprint = BUILT_IN[RawEvent::INDEX].fingerprint.as_bytes();
    assert_eq!(record.header(FINGERPRINT_HEADER), Some(fingerprint));
    assert_eq!(fingerprint.len(), 16);
    let mut all: Vec<&str> = BUILT_IN.iter().map(|b| b.fingerprint.as_str()).collect();
    all.sort_unstable();
    all.dedup();
    assert_eq!(all.len(), BUILT_IN.len());
}

proptest! {
    #[test]
    fn any_bytes_are_a_value_or_an_error(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let framed = [&[0, 0, 0, 0, 2][..], &bytes].concat();
        let _ = decode::<ConversationCommand>(&framed);
        let _ = decode::<RawEvent>(&bytes);
    }
}

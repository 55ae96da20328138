"""What an organisation holds, read by the official SDK, in the words of the table of the test.

Arguments: base URL, client id, client secret. Pages are small, so that there are several.
"""

import sys

import PureCloudPlatformClientV2 as gc

PAGE = 4


def everything(method, *args, **kwargs):
    """All entities of a listing."""
    entities, number = [], 0
    while True:
        number += 1
        page = method(*args, page_size=PAGE, page_number=number, **kwargs)
        entities += page.entities
        if page.next_uri is None:
            # The members of a queue are listed without a total.
            total = getattr(page, "total", len(entities))
            assert len(entities) == total, f"{len(entities)} of {total}"
            return entities


def local(user_name):
    return user_name.removesuffix("@example.com")


def tenths(skill):
    return f"{skill.name} {round(skill.proficiency * 10)}"


def main(base_url, client_id, client_secret):
    gc.configuration.host = base_url
    client = gc.api_client.ApiClient().get_client_credentials_token(client_id, client_secret)
    users, routing = gc.UsersApi(client), gc.RoutingApi(client)
    presence, scim = gc.PresenceApi(client), gc.SCIMApi(client)

    print(*(f"skill {it.name}" for it in everything(routing.get_routing_skills)), sep="\n")
    print(*(f"code {it.name}" for it in everything(routing.get_routing_wrapupcodes)), sep="\n")

    sources = presence.get_presence_sources().entities
    for source in sources:
        print(f"source {source.name}: {source.description or '-'}")
    source_names = {source.id: source.name for source in sources}

    listed = everything(users.get_users, state="any", expand=["authorization", "skills"])
    user_names = {user.id: local(user.email) for user in listed}
    for user in listed:
        provisioned = scim.get_scim_v2_user(user.id)
        assert provisioned.user_name == user.email and provisioned.active == (user.state == "active")
        skills = everything(users.get_user_routingskills, user.id)
        assert sorted(map(tenths, skills)) == sorted(map(tenths, user.skills))
        source = presence.get_presence_user_primarysource(user.id)
        emails = ",".join(email.value for email in provisioned.emails or [])
        print(
            f"user {local(user.email)} {user.name} {provisioned.external_id} {emails} {user.state}; "
            f"{' '.join(sorted(role.name for role in user.authorization.roles))}; "
            f"{' '.join(sorted(map(tenths, skills)))}; {source_names[source.source_id]}"
        )

    for queue in everything(routing.get_routing_queues):
        members = everything(routing.get_routing_queue_members, queue.id)
        codes = everything(routing.get_routing_queue_wrapupcodes, queue.id)
        names = " ".join(sorted(user_names[member.id] for member in members))
        assert queue.member_count == len(members)
        print(f"queue {queue.name} {queue.peer_id} {names}; {len(codes)} codes")


main(*sys.argv[1:])

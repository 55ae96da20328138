//! The Configuration Database of the site: rows as the reads of its tables give them
//! (configdb/queries.sql), and the ids that the truth of the site calls their objects by.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::site::{SWITCHES, Site, WRAP_UP_CODES};

/// DBID of the tenant.
pub const TENANT: i64 = 101;
/// What the presence source is called that stands for Engage.
const SOURCE: &str = "Genesys Engage";
/// End of the name of each queue (seed 003).
const QUEUE_SUFFIX: &str = "__Engage-external";
/// Numbers of `CfgObjectType`, `CfgDNType`, `CfgObjectState` and `CfgFlag` (configdb/schema.md
/// section 3).
const AGENT_GROUP: i64 = 5;
const EXTENSION: i64 = 1;
const VIRTUAL_QUEUE: i64 = 5;
const ENABLED: i64 = 1;
const TRUE: i64 = 2;
/// `CfgEnumeratorType`: interaction operational attribute.
const OPERATIONAL: i64 = 1;
/// First DBID of persons and of DNs.
const FIRST: i64 = 1_001;

/// The address of an employee.
fn e_mail(employee: &str) -> String {
    format!("{}@engage.example", employee.to_lowercase())
}

impl Site {
    /// Rows by table: tenant `dbid name`; switch `dbid name`; dn `dbid switch type number alias
    /// state`; person `dbid user_name employee_id e_mail first_name last_name is_agent state`;
    /// skill `dbid name state`; skill_level `person skill level`; group `dbid name state`; member
    /// `group person`; attribute `dbid name type state`; attribute_value `dbid attribute name
    /// state`; annex `object_type object section name dbid part value`.
    ///
    /// Each queue has a group of its own; whose members have the queue's skill, one better than
    /// the other.
    pub(super) fn database(&self) -> Value {
        let directory = self.directory();
        let rows = |name: &str| directory[name].as_array().cloned().unwrap_or_default();
        let (agents, queues) = (rows("agents"), rows("queues"));
        let switch = |row: &Value| {
            let place = SWITCHES.iter().position(|name| row["switch"] == *name);
            1 + place.unwrap_or_default() as i64
        };
        let dn = |kind: i64| {
            move |(dbid, row): (i64, &Value)| {
                json!([dbid, switch(row), kind, row["dn"], Value::Null, ENABLED])
            }
        };
        let extensions = rows("extensions");
        let dns = (FIRST..).zip(&extensions).map(dn(EXTENSION));
        let dns =
            dns.chain((FIRST + extensions.len() as i64..).zip(&queues).map(dn(VIRTUAL_QUEUE)));
        let person = |(dbid, row): (i64, &Value)| {
            let employee = row["employeeId"].as_str().unwrap_or_default();
            let names = (employee.to_lowercase(), e_mail(employee));
            json!([dbid, names.0, employee, names.1, "Agent", employee, TRUE, ENABLED])
        };
        let groups = || (1..).zip(&queues);
        let group_of = |person: i64| person % queues.len().max(1) as i64 + 1;
        let persons = || (FIRST..).zip(&agents);
        let level = |(person, _): (i64, &Value)| json!([person, group_of(person), person % 7]);
        let option = |(dbid, row): (i64, &Value)| {
            json!([AGENT_GROUP, dbid, "hybrid", "WFM_queue_number", dbid, 1, row["dn"]])
        };
        json!({
            "tenant": [[TENANT, "Demo"]],
            "switch": (1..).zip(SWITCHES).map(|row: (i64, _)| json!(row)).collect::<Value>(),
            "dn": dns.collect::<Value>(),
            "person": persons().map(person).collect::<Value>(),
            "skill": groups().map(|(dbid, row): (i64, _)| json!([dbid, row["dn"], ENABLED]))
                .collect::<Value>(),
            "skill_level": persons().map(level).collect::<Value>(),
            "group": groups().map(|(dbid, row): (i64, _)| json!([dbid, row["dn"], ENABLED]))
                .collect::<Value>(),
            "member": persons().map(|(dbid, _)| json!([group_of(dbid), dbid])).collect::<Value>(),
            "attribute": [[1, "DispositionCode", OPERATIONAL, ENABLED]],
            "attribute_value": (1..).zip(WRAP_UP_CODES)
                .map(|(dbid, name): (i64, _)| json!([dbid, 1, name, ENABLED])).collect::<Value>(),
            "annex": groups().map(option).collect::<Value>(),
        })
    }

    /// The ids by which the truth knows what an organisation makes of these rows, by kind and name.
    pub(super) fn ids(&self) -> BTreeMap<String, String> {
        let directory = self.directory();
        let text = |row: &Value, key: &str| row[key].as_str().unwrap_or_default().to_owned();
        let rows = |name: &str| directory[name].as_array().cloned().unwrap_or_default();
        let user = |row: &Value| {
            (format!("user/{}", e_mail(&text(row, "employeeId"))), text(row, "userId"))
        };
        let queue = |row: &Value| {
            let name = format!("{}__{}{QUEUE_SUFFIX}", text(row, "dn"), text(row, "switch"));
            (format!("queue/{name}"), text(row, "queueId"))
        };
        let code = |row: &Value| (format!("code/{}", text(row, "name")), text(row, "id"));
        let source = (format!("source/{SOURCE}"), text(&directory, "sourceId"));
        let mut ids = BTreeMap::from([source]);
        ids.extend(rows("agents").iter().map(user));
        ids.extend(rows("queues").iter().map(queue));
        ids.extend(rows("wrapUpCodes").iter().map(code));
        ids
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_database_has_everybody_of_the_directory() {
        let site = Site::new(7, 60, false).with_second(2);
        let (database, directory) = (site.database(), site.directory());
        let count = |value: &Value| value.as_array().map_or(0, Vec::len);
        let dns = count(&directory["extensions"]) + count(&directory["queues"]);
        assert_eq!(count(&database["dn"]), dns);
        assert_eq!(count(&database["person"]), count(&directory["agents"]));
        assert_eq!(count(&database["member"]), count(&directory["agents"]));
        assert_eq!(database["switch"], json!([[1, "SITE1"], [2, "SITE2"]]));
        let first =
            json!([1_001, "a1001", "A1001", "a1001@engage.example", "Agent", "A1001", 2, 1]);
        assert_eq!(database["person"][0], first);
        assert_eq!(database["dn"][0], json!([1_001, 1, 1, "7001", null, 1]));
        let ids = site.ids();
        let of = |row: &Value, key: &str| row[key].as_str().map(str::to_owned);
        assert_eq!(
            ids.get("user/a1001@engage.example").cloned(),
            of(&directory["agents"][0], "userId")
        );
        let queue = "queue/VQ_Sales__SITE1__Engage-external";
        assert_eq!(ids.get(queue).cloned(), of(&directory["queues"][0], "queueId"));
        assert_eq!(ids.len(), 1 + 66 + 4 + 3);
    }
}

//! Business attributes into wrap-up codes (seed 003, "Synchronization of Wrap-up Codes").

use std::collections::BTreeMap;

use trunkline_schemas::configdb::{BusinessAttribute, ObjectType, object_key};
use trunkline_schemas::desired::{DesiredKind, WrapUpCode};

use super::report::{Report, ReportCode};

/// The attribute that is meant by its name.
const BY_NAME: &str = "DispositionCode";
/// What `htcc/contains` says of the others, case-sensitive.
const BY_ANNEX: &str = "dispositions";

/// Wrap-up codes by key: of all values of all attributes that hold dispositions. Names that are
/// the same are one code, and so are those that differ in case, which is reported.
pub(super) fn wrap_up_codes<'e>(
    attributes: impl Iterator<Item = &'e BusinessAttribute>,
    with_disabled: bool,
    reports: &mut Vec<Report>,
) -> BTreeMap<String, WrapUpCode> {
    let mut codes: BTreeMap<String, WrapUpCode> = BTreeMap::new();
    for attribute in attributes.filter(|attribute| is_mapped(attribute)) {
        for value in attribute.values.iter().filter(|value| value.enabled || with_disabled) {
            let name = value.name.trim();
            if name.is_empty() {
                let object = object_key(ObjectType::BusinessAttribute, attribute.dbid);
                let report = Report::new(ReportCode::EmptyName, object);
                reports.push(report.with(format!("value {}", value.dbid)));
                continue;
            }
            let new = || WrapUpCode { name: name.to_owned(), values: Vec::new() };
            let code = codes.entry(DesiredKind::WrapUpCode.key(name)).or_insert_with(new);
            if !code.values.iter().any(|known| known == name) {
                code.values.push(name.to_owned());
            }
        }
    }
    for (key, code) in codes.iter().filter(|(_, code)| code.values.len() > 1) {
        let report = Report::new(ReportCode::NameConflict, key.clone());
        reports.push(report.with(code.values.join(", ")));
    }
    codes
}

/// Whether the values of an attribute are dispositions.
fn is_mapped(attribute: &BusinessAttribute) -> bool {
    let by_annex = attribute.contains.as_deref().is_some_and(|list| list.trim() == BY_ANNEX);
    attribute.operational && (attribute.name == BY_NAME || by_annex)
}

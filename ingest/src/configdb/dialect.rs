//! Where the three kinds of databases want other words for the same read. Everything else of
//! [`super::query`] is the same text for all of them.

use std::fmt;

/// A kind of database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DatabaseKind {
    /// PostgreSQL.
    PostgreSql,
    /// Microsoft SQL Server.
    SqlServer,
    /// Oracle Database.
    Oracle,
}

impl fmt::Display for DatabaseKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::PostgreSql => "PostgreSQL",
            Self::SqlServer => "SQL Server",
            Self::Oracle => "Oracle",
        })
    }
}

impl DatabaseKind {
    /// A number of whatever type as one of 64 bits.
    pub fn whole(self, number: &str) -> String {
        match self {
            Self::PostgreSql | Self::SqlServer => format!("CAST({number} AS bigint)"),
            Self::Oracle => format!("CAST({number} AS NUMBER(19))"),
        }
    }

    /// The start of a read, of which no more than so many rows are wanted.
    pub(super) fn limited(self, sql: &str, rows: usize) -> String {
        match (self, sql.strip_prefix("SELECT ")) {
            (Self::SqlServer, Some(rest)) => format!("SELECT TOP ({rows}) {rest}"),
            (Self::Oracle, _) => format!("{sql} FETCH FIRST {rows} ROWS ONLY"),
            (Self::PostgreSql | Self::SqlServer, _) => format!("{sql} LIMIT {rows}"),
        }
    }

    /// A time, which has no zone, as milliseconds since 1970; `type_` as the catalog has it. A
    /// number is seconds since 1970.
    pub(super) fn milliseconds(self, time: &str, type_: &str) -> String {
        let type_ = type_.to_lowercase();
        let is_time = match self {
            Self::PostgreSql | Self::SqlServer => type_.contains("time"),
            // It has the time of the day too.
            Self::Oracle => type_.starts_with("timestamp") || type_ == "date",
        };
        match self {
            _ if !is_time => format!("{} * 1000", self.whole(time)),
            Self::PostgreSql => {
                format!("CAST(EXTRACT(EPOCH FROM {time}) * 1000 AS bigint)")
            }
            // Seconds alone would be too many for DATEDIFF from 2038 on.
            Self::SqlServer => format!(
                "(CAST(DATEDIFF(day, '19700101', {time}) AS bigint) * 86400 \
                 + DATEDIFF(second, CAST({time} AS date), {time})) * 1000"
            ),
            Self::Oracle => self.whole(&format!(
                "ROUND((CAST({time} AS DATE) - DATE '1970-01-01') * 86400) * 1000"
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::DatabaseKind::{Oracle, PostgreSql, SqlServer};

    #[test]
    fn a_read_is_limited_in_the_words_of_its_database() {
        for (kind, expected) in [
            (PostgreSql, "SELECT a FROM t LIMIT 9"),
            (SqlServer, "SELECT TOP (9) a FROM t"),
            (Oracle, "SELECT a FROM t FETCH FIRST 9 ROWS ONLY"),
        ] {
            assert_eq!(kind.limited("SELECT a FROM t", 9), expected);
        }
    }

    #[test]
    fn a_time_is_one_by_the_type_that_the_database_gives_it() {
        let seconds = "CAST(t AS bigint) * 1000";
        let epoch = "CAST(EXTRACT(EPOCH FROM t) * 1000 AS bigint)";
        let difference = "(CAST(DATEDIFF(day, '19700101', t) AS bigint) * 86400 \
                          + DATEDIFF(second, CAST(t AS date), t)) * 1000";
        let days =
            "CAST(ROUND((CAST(t AS DATE) - DATE '1970-01-01') * 86400) * 1000 AS NUMBER(19))";
        for (kind, type_, expected) in [
            (PostgreSql, "timestamp without time zone", epoch),
            (PostgreSql, "numeric", seconds),
            (SqlServer, "datetime", difference),
            (SqlServer, "datetime2", difference),
            (SqlServer, "int", seconds),
            (Oracle, "DATE", days),
            (Oracle, "TIMESTAMP(6)", days),
            (Oracle, "NUMBER", "CAST(t AS NUMBER(19)) * 1000"),
        ] {
            assert_eq!(kind.milliseconds("t", type_), expected, "{kind} {type_}");
        }
    }
}

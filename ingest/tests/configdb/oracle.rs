//! What can be said of Oracle without one: its reads, carried out by PostgreSQL with the two words
//! changed that PostgreSQL does not know, find the sample tenant; and the driver gives up as it
//! should where no database answers. That a real one accepts the text, and what the driver makes of
//! its rows, is not shown here.

use tokio_postgres::SimpleQueryMessage;
use trunkline_ingest::configdb::dialect::DatabaseKind;
use trunkline_ingest::configdb::profile::{Kind, Mapping, Profile, resolve};
use trunkline_ingest::configdb::query::queries;
use trunkline_ingest::configdb::rows::{Cell, Rows, Snapshot};

use super::sample_objects;
use super::server::{Sample, Server, server};

/// The tables of the sample as a catalog of Oracle would name them.
async fn mapping(server: &Server, sample: &Sample) -> Mapping {
    let owner = server.owner(sample).await;
    let sql = "SELECT upper(table_name), upper(column_name), data_type \
               FROM information_schema.columns WHERE table_schema = 'genesys'";
    let mut catalog = Vec::new();
    for message in owner.simple_query(sql).await.expect("a catalog") {
        let SimpleQueryMessage::Row(row) = message else { continue };
        let text = |at: usize| row.get(at).unwrap_or_default().to_owned();
        let kind = if text(2).starts_with("timestamp") { "TIMESTAMP(6)" } else { "NUMBER" };
        catalog.push(trunkline_ingest::configdb::profile::CatalogColumn {
            table: text(0),
            column: text(1),
            kind: kind.to_owned(),
        });
    }
    resolve(&Profile::built_in(), "GENESYS", &catalog).usable(true).expect("nothing is missing")
}

#[tokio::test]
async fn its_reads_find_the_sample_tenant_where_postgresql_carries_them_out() {
    let Some(server) = server() else { return };
    let sample = server.sample().await;
    let reads = queries(&mapping(&server, &sample).await, DatabaseKind::Oracle);
    let owner = server.owner(&sample).await;
    let mut rows = Rows::new();
    for query in &reads {
        let sql = query.text_for(101).replace("NUMBER(19)", "numeric(19)");
        let days = "(CAST(MAX(OP_TIME) AS DATE) - DATE '1970-01-01')";
        let sql = sql.replace(days, "(EXTRACT(EPOCH FROM MAX(OP_TIME)) / 86400)");
        let found = owner.simple_query(&sql).await.unwrap_or_else(|e| panic!("{sql}: {e:?}"));
        for message in found {
            let SimpleQueryMessage::Row(row) = message else { continue };
            let cell = |(at, kind): (usize, &Kind)| match (row.get(at), kind) {
                (None, _) => Cell::Null,
                (Some(text), Kind::Text) => Cell::Text(text.to_owned()),
                (Some(text), Kind::Number | Kind::Time) => {
                    Cell::Number(text.parse().unwrap_or_else(|e| panic!("{text} in {sql}: {e}")))
                }
            };
            let cells = query.kinds.iter().enumerate().map(cell).collect();
            rows.entry(query.entity).or_default().push(cells);
        }
    }
    assert_eq!(Snapshot::of(&rows, 101).expect("it makes sense").objects, sample_objects());
}

#[cfg(not(feature = "oracle"))]
mod without {
    use std::time::Duration;

    use trunkline_ingest::configdb::database::DatabaseConfig;
    use trunkline_ingest::configdb::dialect::DatabaseKind;
    use trunkline_ingest::configdb::probe::probe;
    use trunkline_ingest::configdb::profile::Profile;

    #[tokio::test]
    async fn a_program_without_it_says_so() {
        let database = DatabaseConfig {
            kind: DatabaseKind::Oracle,
            host: "127.0.0.1".to_owned(),
            port: 1521,
            database: "service".to_owned(),
            user: "reader".to_owned(),
            password: None,
            ca_pem: None,
            timeout: Duration::from_secs(5),
        };
        let refused = probe(&database, "genesys", &Profile::built_in()).await;
        assert_eq!(
            refused.expect_err("it is refused").to_string(),
            "this program was built without Oracle: build it with `--features oracle`"
        );
    }
}

#[cfg(feature = "oracle")]
mod driver {
    use std::io::{Read, Write};
    use std::net::TcpListener;
    use std::time::Duration;

    use secrecy::SecretString;
    use trunkline_ingest::configdb::database::DatabaseConfig;
    use trunkline_ingest::configdb::dialect::DatabaseKind;
    use trunkline_ingest::configdb::probe::probe;
    use trunkline_ingest::configdb::profile::Profile;

    const PASSWORD: &str = "correct horse battery staple";

    fn database(port: u16) -> DatabaseConfig {
        DatabaseConfig {
            kind: DatabaseKind::Oracle,
            host: "127.0.0.1".to_owned(),
            port,
            database: "config.example".to_owned(),
            user: "reader".to_owned(),
            password: Some(SecretString::from(PASSWORD)),
            ca_pem: None,
            // The driver tries again before it gives up.
            timeout: Duration::from_mins(1),
        }
    }

    async fn refused(database: &DatabaseConfig) -> String {
        let refused = probe(database, "genesys", &Profile::built_in()).await;
        let error = refused.expect_err("nobody serves").to_string();
        assert!(!error.contains(PASSWORD), "{error}");
        error
    }

    /// A listener that does something with each connection.
    fn listener(serve: fn(std::net::TcpStream)) -> u16 {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let port = listener.local_addr().expect("it is bound").port();
        std::thread::spawn(move || listener.incoming().flatten().for_each(serve));
        port
    }

    /// One after the other, for the threads that wait are counted.
    #[tokio::test]
    async fn it_gives_up_where_no_database_answers() {
        let closed = {
            let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
            listener.local_addr().expect("it is bound").port()
        };
        let error = refused(&database(closed)).await;
        assert!(error.starts_with("connecting to the database: "), "{error}");
        let garbage = listener(|mut tcp| {
            // What it is asked does not matter.
            let _ = tcp.read(&mut [0; 512]);
            let _ = tcp.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n");
        });
        let error = refused(&database(garbage)).await;
        assert!(error.starts_with("connecting to the database: "), "{error}");
        let mut bad_ca = database(closed);
        bad_ca.ca_pem = Some(b"none".to_vec());
        assert_eq!(refused(&bad_ca).await, "the CA file holds no usable certificate");
        let mut bad_host = database(closed);
        "no host (at all)".clone_into(&mut bad_host.host);
        let error = refused(&bad_host).await;
        assert!(error.starts_with("connecting to the database: "), "{error}");
        // It reads until the other end is closed, which is never.
        let silent = listener(|mut tcp| while tcp.read(&mut [0; 512]).is_ok_and(|n| n > 0) {});
        let silent = DatabaseConfig { timeout: Duration::from_secs(1), ..database(silent) };
        for _ in 0..4 {
            let error = refused(&silent).await;
            assert_eq!(error, "the database did not answer within 1 s");
        }
        let error = refused(&silent).await;
        assert!(error.ends_with("4 earlier attempts have no answer yet"), "{error}");
    }
}

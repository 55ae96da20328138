//! The configuration that tests of agents run with: one domain of one site.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;

use serde_json::Value;

/// What differs between tests.
pub(super) struct Configured<'a> {
    /// The directory.
    pub(super) directory: &'a Value,
    /// Where all SIP Servers are.
    pub(super) sip: SocketAddr,
    /// What stands in `[domain.agent_states]`, and other sections of the domain.
    pub(super) agent_states: &'a str,
    /// What stands in `[[domain.site]]` besides.
    pub(super) site: &'a str,
    /// The organisation.
    pub(super) org: &'a str,
    /// What stands in `[genesys_cloud.conversation]` besides, and sections after it.
    pub(super) cloud: &'a str,
}

impl Configured<'_> {
    /// Writes all files into a directory; returns the path of the configuration.
    pub(super) fn write(&self, dir: &Path) -> String {
        let Self { directory, sip, agent_states, site, org, cloud } = self;
        let text = format!(
            r#"
admin.listen = "127.0.0.1:0"
log.embedded.path = "log"
[[domain]]
name = "main"
directory_file = "directory.json"
[domain.agent_states]
{agent_states}
[[domain.site]]
name = "site1"
voice_server_call = ["{sip}"]
voice_server_vq = ["{sip}"]
voice_server_agent = ["{sip}"]
{site}
[genesys_cloud]
base_url = "{org}"
auth_url = "{org}"
[genesys_cloud.conversation]
client_id = "simulated-client"
client_secret_file = "secret"
{cloud}
"#
        );
        for (name, text) in [
            ("directory.json", directory.to_string()),
            ("secret", "simulated-secret".to_owned()),
            ("trunkline.toml", text),
        ] {
            fs::write(dir.join(name), text).expect("the directory can be written");
        }
        dir.join("trunkline.toml").to_str().expect("UTF-8").to_owned()
    }
}

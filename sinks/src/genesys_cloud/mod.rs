//! Genesys Cloud (GC) as a service: what its answers mean, how often it may be asked, when to ask
//! again, and the client that asks.
//!
//! [`answer`], [`allowance`], [`shared`] and [`retry`] are pure. [`client`] and [`auth`] do the
//! I/O.

pub mod allowance;
pub mod answer;
pub mod auth;
pub mod client;
pub mod retry;
pub mod shared;

pub use allowance::{Allowance, LocalAllowance};
pub use answer::{Answer, EventError};
pub use client::{ClientConfig, ClientError, Found, GenesysCloud, Reply};
pub use shared::{Share, Shared, SharedAllowance};

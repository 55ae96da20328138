//! Presences and routing statuses of users.

pub mod request;

//! A simulated Engage site and a simulated Genesys Cloud organisation.

pub mod certificates;
pub mod compare;
pub mod compare_agents;
mod door;
pub mod engage;
pub mod gc;
pub mod interaction;
pub mod truth;

//! One file a command. Not here: what commands share.

pub(crate) mod demo;
pub(crate) mod diff;
pub(crate) mod doctor;
pub(crate) mod events;
pub(crate) mod export;
pub(crate) mod import;
pub(crate) mod ps;
pub(crate) mod query;
pub(crate) mod record;
pub(crate) mod recover;
pub(crate) mod report;
pub(crate) mod script;
mod slow;
pub(crate) mod snapshot;
pub(crate) mod stat;
pub(crate) mod top;
pub(crate) mod tree;
pub(crate) mod view;
mod waits;

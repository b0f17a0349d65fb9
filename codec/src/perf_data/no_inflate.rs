//! Stands in for `inflate` where there is no zstd. Not here: any decompression.

use super::session::Session;
use super::visitor::Visitor;
use crate::error::{Error, ErrorKind};
use crate::wire::Order;

#[derive(Debug, Default)]
pub(super) struct Inflate;

#[allow(clippy::unused_self, clippy::extra_unused_type_parameters)]
impl Inflate {
    pub(super) fn push<O: Order, V: Visitor>(
        &mut self,
        _: &[u8],
        offset: u64,
        _: &Session,
        _: &mut V,
    ) -> Result<(), Error> {
        Err(Error::new(offset, ErrorKind::Compressed))
    }

    pub(super) fn held(&self) -> usize {
        0
    }
}

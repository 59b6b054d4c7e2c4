//! Memory for large blocks, used again and again.
//!
//! An allocator gives memory of this size back to the system when it is freed, and the system clears it page by page
//! when it is taken again: that costs several times what copying a block does.

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;
use parking_lot::Mutex;

/// Shorter blocks are the allocator's business, which keeps their memory.
const MIN_LEN: usize = 32 << 10;
/// Memory kept for later, at most.
const MAX_IDLE: usize = 32 << 20;

/// Buffers that wait to be used again. Clones share them.
#[derive(Debug, Clone, Default)]
pub(crate) struct Pool(Arc<Mutex<Idle>>);

#[derive(Debug, Default)]
struct Idle {
    by_size: HashMap<usize, Vec<Box<[u8]>>>,
    bytes: usize,
    /// Whether any was asked for since the last look
    in_use: bool,
}

/// A buffer out of the pool, to be filled.
#[derive(Debug)]
pub(crate) struct Buffer {
    bytes: Box<[u8]>,
    len: usize,
    pool: Pool,
}

impl Pool {
    /// A buffer of `len` bytes, whatever they are.
    pub(crate) fn take(&self, len: usize) -> Buffer {
        let size = size_for(len);
        let mut idle = self.0.lock();
        idle.in_use = true;
        let kept = idle.by_size.get_mut(&size).and_then(Vec::pop);
        if kept.is_some() {
            idle.bytes -= size;
        }
        drop(idle);
        let bytes = kept.unwrap_or_else(|| vec![0; size].into_boxed_slice());
        Buffer { bytes, len, pool: self.clone() }
    }

    /// Gives everything back to the system if nobody has asked since the last call.
    pub(crate) fn trim(&self) {
        let mut idle = self.0.lock();
        if !std::mem::take(&mut idle.in_use) {
            *idle = Idle::default();
        }
    }
}

impl Buffer {
    /// The bytes to fill.
    pub(crate) fn bytes_mut(&mut self) -> &mut [u8] {
        &mut self.bytes[..self.len]
    }

    /// The bytes, whose memory goes back to the pool when the last of them is dropped.
    pub(crate) fn freeze(self) -> Bytes {
        Bytes::from_owner(self)
    }
}

impl AsRef<[u8]> for Buffer {
    fn as_ref(&self) -> &[u8] {
        &self.bytes[..self.len]
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        let bytes = std::mem::take(&mut self.bytes);
        let size = bytes.len();
        let mut idle = self.pool.0.lock();
        if size >= MIN_LEN && idle.bytes + size <= MAX_IDLE {
            idle.bytes += size;
            idle.by_size.entry(size).or_default().push(bytes);
        }
    }
}

/// Sizes are rounded up by a quarter at most, so that blocks of nearly the same length share buffers.
fn size_for(len: usize) -> usize {
    if len < MIN_LEN { len } else { len.next_multiple_of(1 << (len.ilog2() - 2)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_buffer_is_used_again_once_its_last_byte_is_dropped() {
        let pool = Pool::default();
        let mut buffer = pool.take(262_144);
        buffer.bytes_mut().fill(7);
        let bytes = buffer.freeze();
        let part = bytes.slice(5..10);
        drop(bytes);
        assert_eq!(pool.0.lock().bytes, 0);
        assert_eq!(part[..], [7; 5]);
        drop(part);
        assert_eq!(pool.0.lock().bytes, 262_144);
        assert_eq!(pool.take(262_000).freeze().len(), 262_000);
    }

    #[test]
    fn what_is_kept_is_bounded_and_given_back_in_quiet_times() {
        let pool = Pool::default();
        let taken: Vec<Buffer> = (0..100).map(|_| pool.take(1 << 20)).collect();
        drop(taken);
        assert_eq!(pool.0.lock().bytes, MAX_IDLE);
        pool.trim();
        assert_eq!(pool.0.lock().bytes, MAX_IDLE);
        pool.trim();
        assert_eq!(pool.0.lock().bytes, 0);
    }

    #[test]
    fn no_more_than_a_quarter_is_wasted() {
        for len in (0..5_000_000).step_by(997) {
            let size = size_for(len);
            assert!(size >= len && size - len <= len / 4, "{len} {size}");
        }
    }
}

//! Which partition of a coordinator's topic a group or a transactional id belongs to. No I/O.

use ottla_broker_types::PartitionIndex;

/// The partition of `key` among `partition_count`: Java's `String.hashCode` over UTF-16, made positive as
/// Kafka's `Utils.abs` does. A count of zero gives partition 0.
pub fn partition_for_key(key: &str, partition_count: u32) -> PartitionIndex {
    let hash =
        key.encode_utf16().fold(0i32, |hash, unit| hash.wrapping_mul(31).wrapping_add(i32::from(unit)));
    // Utils.abs maps the smallest integer to 0.
    let positive = hash.checked_abs().unwrap_or(0);
    let count = i32::try_from(partition_count.max(1)).unwrap_or(i32::MAX);
    PartitionIndex(positive % count)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_go_where_java_puts_them() {
        // "hello".hashCode() == 99162322; "polygenelubricants".hashCode() == Integer.MIN_VALUE.
        assert_eq!(partition_for_key("hello", 50), PartitionIndex(99_162_322 % 50));
        assert_eq!(partition_for_key("polygenelubricants", 50), PartitionIndex(0));
        assert_eq!(partition_for_key("", 50), PartitionIndex(0));
    }

    #[test]
    fn characters_beyond_the_basic_plane_count_as_two_units() {
        // "\uD83D\uDE00".hashCode() == 0xD83D * 31 + 0xDE00.
        assert_eq!(partition_for_key("😀", 1_000_000), PartitionIndex((0xD83D * 31 + 0xDE00) % 1_000_000));
    }

    #[test]
    fn a_negative_hash_is_negated() {
        // "test-group".hashCode() is negative or not; the partition is never.
        for name in ["test-group", "a-group-with-a-long-name", "zzzzzzzzzzzz"] {
            assert!((0..50).contains(&partition_for_key(name, 50).0));
        }
    }
}

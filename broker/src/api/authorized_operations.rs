//! The authorized operations of KIP-430: a bit for each operation that the asker may do. Without an authorizer these
//! are all that the kind of resource has.

/// The field's value when it was not asked for.
const NOT_ASKED: i32 = i32::MIN;

/// Kafka's codes of the operations (AclOperation), each the position of its bit.
const READ: i32 = 3;
const WRITE: i32 = 4;
const CREATE: i32 = 5;
const DELETE: i32 = 6;
const ALTER: i32 = 7;
const DESCRIBE: i32 = 8;
const CLUSTER_ACTION: i32 = 9;
const DESCRIBE_CONFIGS: i32 = 10;
const ALTER_CONFIGS: i32 = 11;
const IDEMPOTENT_WRITE: i32 = 12;

const TOPIC: &[i32] = &[READ, WRITE, CREATE, DELETE, ALTER, DESCRIBE, DESCRIBE_CONFIGS, ALTER_CONFIGS];
const GROUP: &[i32] = &[READ, DELETE, DESCRIBE, DESCRIBE_CONFIGS, ALTER_CONFIGS];
const CLUSTER: &[i32] =
    &[CREATE, ALTER, DESCRIBE, CLUSTER_ACTION, DESCRIBE_CONFIGS, ALTER_CONFIGS, IDEMPOTENT_WRITE];

/// What may be done to a topic, if `asked`.
pub fn of_topic(asked: bool) -> i32 {
    field(asked, TOPIC)
}

/// What may be done to a group, if `asked`.
pub fn of_group(asked: bool) -> i32 {
    field(asked, GROUP)
}

/// What may be done to the cluster, if `asked`.
pub fn of_cluster(asked: bool) -> i32 {
    field(asked, CLUSTER)
}

fn field(asked: bool, operations: &[i32]) -> i32 {
    if asked { operations.iter().fold(0, |bits, operation| bits | 1 << operation) } else { NOT_ASKED }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_of_resource_has_its_own_operations() {
        assert_eq!((of_topic(true), of_group(true), of_cluster(true)), (3576, 3400, 8096));
        assert_eq!((of_topic(false), of_group(false), of_cluster(false)), (i32::MIN, i32::MIN, i32::MIN));
    }
}

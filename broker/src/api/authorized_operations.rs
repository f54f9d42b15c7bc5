//! The authorized operations of KIP-430: a bit for each operation that the asker may do. Without an authorizer these
//! are all that the kind of resource has.

use ottla_broker_protocol::rules::Operation;

/// The field's value when it was not asked for.
const NOT_ASKED: i32 = i32::MIN;

const TOPIC: &[Operation] = &[
    Operation::Read,
    Operation::Write,
    Operation::Create,
    Operation::Delete,
    Operation::Alter,
    Operation::Describe,
    Operation::DescribeConfigs,
    Operation::AlterConfigs,
];
const GROUP: &[Operation] = &[
    Operation::Read,
    Operation::Delete,
    Operation::Describe,
    Operation::DescribeConfigs,
    Operation::AlterConfigs,
];
const CLUSTER: &[Operation] = &[
    Operation::Create,
    Operation::Alter,
    Operation::Describe,
    Operation::ClusterAction,
    Operation::DescribeConfigs,
    Operation::AlterConfigs,
    Operation::IdempotentWrite,
];

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

fn field(asked: bool, operations: &[Operation]) -> i32 {
    if asked { operations.iter().fold(0, |bits, operation| bits | 1 << *operation as i32) } else { NOT_ASKED }
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

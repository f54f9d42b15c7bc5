//! Kafka's error codes: one table of number, name, whether a retry may help, and a sentence. No I/O.

use std::fmt;

macro_rules! error_codes {
    ($($variant:ident $code:literal $retriable:ident $name:literal $message:literal,)+) => {
        /// An error code of the protocol.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(i16)]
        pub enum ErrorCode {
            $(
                #[doc = $message]
                $variant = $code,
            )+
        }

        impl ErrorCode {
            /// Every code, by number.
            pub const ALL: &'static [ErrorCode] = &[$(ErrorCode::$variant),+];

            /// The error of a number on the wire; none if it is newer than this table.
            pub fn from_i16(code: i16) -> Option<ErrorCode> {
                Some(match code {
                    $($code => ErrorCode::$variant,)+
                    _ => return None,
                })
            }

            /// Kafka's name, in capitals.
            pub fn name(self) -> &'static str {
                match self {
                    $(ErrorCode::$variant => $name,)+
                }
            }

            /// A sentence for people.
            pub fn message(self) -> &'static str {
                match self {
                    $(ErrorCode::$variant => $message,)+
                }
            }

            /// Whether clients may send the same request again.
            pub fn is_retriable(self) -> bool {
                match self {
                    $(ErrorCode::$variant => error_codes!(@ $retriable),)+
                }
            }
        }
    };
    (@ retry) => { true };
    (@ final) => { false };
}

#[rustfmt::skip]
error_codes! {
    UnknownServerError -1 final "UNKNOWN_SERVER_ERROR" "The broker met an error that it did not expect.",
    None 0 final "NONE" "No error.",
    OffsetOutOfRange 1 final "OFFSET_OUT_OF_RANGE" "The offset is outside of what the partition's log holds.",
    CorruptMessage 2 retry "CORRUPT_MESSAGE" "A batch fails its checksum or is malformed.",
    UnknownTopicOrPartition 3 retry "UNKNOWN_TOPIC_OR_PARTITION" "The broker does not know the topic or partition.",
    InvalidFetchSize 4 final "INVALID_FETCH_SIZE" "The fetch size is invalid.",
    LeaderNotAvailable 5 retry "LEADER_NOT_AVAILABLE" "The partition has no leader at the moment.",
    NotLeaderOrFollower 6 retry "NOT_LEADER_OR_FOLLOWER" "The broker is not the leader, or not a replica, of the partition.",
    RequestTimedOut 7 retry "REQUEST_TIMED_OUT" "The request was not completed in its time.",
    BrokerNotAvailable 8 final "BROKER_NOT_AVAILABLE" "The broker is not available.",
    ReplicaNotAvailable 9 retry "REPLICA_NOT_AVAILABLE" "The replica is not available.",
    MessageTooLarge 10 final "MESSAGE_TOO_LARGE" "A batch is larger than the topic allows.",
    StaleControllerEpoch 11 final "STALE_CONTROLLER_EPOCH" "The controller has moved to another node.",
    OffsetMetadataTooLarge 12 final "OFFSET_METADATA_TOO_LARGE" "The metadata of an offset commit is too large.",
    NetworkException 13 retry "NETWORK_EXCEPTION" "The connection broke before the response came.",
    CoordinatorLoadInProgress 14 retry "COORDINATOR_LOAD_IN_PROGRESS" "The coordinator is still loading its state.",
    CoordinatorNotAvailable 15 retry "COORDINATOR_NOT_AVAILABLE" "There is no coordinator at the moment.",
    NotCoordinator 16 retry "NOT_COORDINATOR" "The broker is not the coordinator of this group or transaction.",
    InvalidTopicException 17 final "INVALID_TOPIC_EXCEPTION" "The topic's name is invalid, or the topic does not allow this.",
    RecordListTooLarge 18 final "RECORD_LIST_TOO_LARGE" "A batch is larger than a log segment.",
    NotEnoughReplicas 19 retry "NOT_ENOUGH_REPLICAS" "Fewer replicas are in sync than the topic requires; nothing was written.",
    NotEnoughReplicasAfterAppend 20 retry "NOT_ENOUGH_REPLICAS_AFTER_APPEND" "The batch was written, but to fewer in-sync replicas than the topic requires.",
    InvalidRequiredAcks 21 final "INVALID_REQUIRED_ACKS" "The required acks are neither -1, 0 nor 1.",
    IllegalGeneration 22 final "ILLEGAL_GENERATION" "The group has moved on to another generation.",
    InconsistentGroupProtocol 23 final "INCONSISTENT_GROUP_PROTOCOL" "The member shares no protocol with the group, or names none.",
    InvalidGroupId 24 final "INVALID_GROUP_ID" "The group id is invalid.",
    UnknownMemberId 25 final "UNKNOWN_MEMBER_ID" "The group does not know the member.",
    InvalidSessionTimeout 26 final "INVALID_SESSION_TIMEOUT" "The session timeout is outside of the broker's limits.",
    RebalanceInProgress 27 final "REBALANCE_IN_PROGRESS" "The group is rebalancing; the member must rejoin.",
    InvalidCommitOffsetSize 28 final "INVALID_COMMIT_OFFSET_SIZE" "The offset commit is too large.",
    TopicAuthorizationFailed 29 final "TOPIC_AUTHORIZATION_FAILED" "Not authorized to do this with the topic.",
    GroupAuthorizationFailed 30 final "GROUP_AUTHORIZATION_FAILED" "Not authorized to do this with the group.",
    ClusterAuthorizationFailed 31 final "CLUSTER_AUTHORIZATION_FAILED" "Not authorized to do this with the cluster.",
    InvalidTimestamp 32 final "INVALID_TIMESTAMP" "A record's timestamp is outside of the topic's limits.",
    UnsupportedSaslMechanism 33 final "UNSUPPORTED_SASL_MECHANISM" "The broker does not offer the SASL mechanism.",
    IllegalSaslState 34 final "ILLEGAL_SASL_STATE" "The request does not fit the state of authentication.",
    UnsupportedVersion 35 final "UNSUPPORTED_VERSION" "The broker does not serve this version of the API.",
    TopicAlreadyExists 36 final "TOPIC_ALREADY_EXISTS" "A topic of this name exists.",
    InvalidPartitions 37 final "INVALID_PARTITIONS" "The number of partitions is invalid.",
    InvalidReplicationFactor 38 final "INVALID_REPLICATION_FACTOR" "The replication factor is invalid or above the number of brokers.",
    InvalidReplicaAssignment 39 final "INVALID_REPLICA_ASSIGNMENT" "The replica assignment is invalid.",
    InvalidConfig 40 final "INVALID_CONFIG" "A configuration is invalid.",
    NotController 41 retry "NOT_CONTROLLER" "The node is not the active controller.",
    InvalidRequest 42 final "INVALID_REQUEST" "The request is malformed or contradicts itself.",
    UnsupportedForMessageFormat 43 final "UNSUPPORTED_FOR_MESSAGE_FORMAT" "The record format of the log does not allow this.",
    PolicyViolation 44 final "POLICY_VIOLATION" "A policy of the cluster refuses this.",
    OutOfOrderSequenceNumber 45 final "OUT_OF_ORDER_SEQUENCE_NUMBER" "The producer's sequence does not follow its last one.",
    DuplicateSequenceNumber 46 final "DUPLICATE_SEQUENCE_NUMBER" "The producer has sent this sequence before.",
    InvalidProducerEpoch 47 final "INVALID_PRODUCER_EPOCH" "A newer instance of the producer has taken over.",
    InvalidTxnState 48 final "INVALID_TXN_STATE" "The transaction's state does not allow this.",
    InvalidProducerIdMapping 49 final "INVALID_PRODUCER_ID_MAPPING" "The producer id does not belong to the transactional id.",
    InvalidTransactionTimeout 50 final "INVALID_TRANSACTION_TIMEOUT" "The transaction timeout is above the broker's limit.",
    ConcurrentTransactions 51 retry "CONCURRENT_TRANSACTIONS" "The transaction is still being completed.",
    TransactionCoordinatorFenced 52 final "TRANSACTION_COORDINATOR_FENCED" "A newer transaction coordinator has taken over.",
    TransactionalIdAuthorizationFailed 53 final "TRANSACTIONAL_ID_AUTHORIZATION_FAILED" "Not authorized to use the transactional id.",
    SecurityDisabled 54 final "SECURITY_DISABLED" "Security features are switched off.",
    OperationNotAttempted 55 final "OPERATION_NOT_ATTEMPTED" "The operation was not tried because another part of the request failed.",
    KafkaStorageError 56 retry "KAFKA_STORAGE_ERROR" "The disk failed when the broker accessed the log.",
    LogDirNotFound 57 final "LOG_DIR_NOT_FOUND" "The log directory is not one of the broker's.",
    SaslAuthenticationFailed 58 final "SASL_AUTHENTICATION_FAILED" "Authentication failed.",
    UnknownProducerId 59 final "UNKNOWN_PRODUCER_ID" "The partition knows nothing of the producer id.",
    ReassignmentInProgress 60 final "REASSIGNMENT_IN_PROGRESS" "A reassignment of the partition is in progress.",
    DelegationTokenAuthDisabled 61 final "DELEGATION_TOKEN_AUTH_DISABLED" "Delegation tokens are switched off.",
    DelegationTokenNotFound 62 final "DELEGATION_TOKEN_NOT_FOUND" "There is no such delegation token.",
    DelegationTokenOwnerMismatch 63 final "DELEGATION_TOKEN_OWNER_MISMATCH" "The principal is neither owner nor renewer of the delegation token.",
    DelegationTokenRequestNotAllowed 64 final "DELEGATION_TOKEN_REQUEST_NOT_ALLOWED" "Delegation tokens cannot be requested over this connection.",
    DelegationTokenAuthorizationFailed 65 final "DELEGATION_TOKEN_AUTHORIZATION_FAILED" "Not authorized to use the delegation token.",
    DelegationTokenExpired 66 final "DELEGATION_TOKEN_EXPIRED" "The delegation token has expired.",
    InvalidPrincipalType 67 final "INVALID_PRINCIPAL_TYPE" "The type of principal is not supported.",
    NonEmptyGroup 68 final "NON_EMPTY_GROUP" "The group still has members.",
    GroupIdNotFound 69 final "GROUP_ID_NOT_FOUND" "There is no such group.",
    FetchSessionIdNotFound 70 retry "FETCH_SESSION_ID_NOT_FOUND" "The broker has no such fetch session.",
    InvalidFetchSessionEpoch 71 retry "INVALID_FETCH_SESSION_EPOCH" "The epoch does not follow that of the fetch session.",
    ListenerNotFound 72 retry "LISTENER_NOT_FOUND" "The leader has no listener of the name that the client used.",
    TopicDeletionDisabled 73 final "TOPIC_DELETION_DISABLED" "Topics cannot be deleted here.",
    FencedLeaderEpoch 74 retry "FENCED_LEADER_EPOCH" "The leader epoch is older than the broker's.",
    UnknownLeaderEpoch 75 retry "UNKNOWN_LEADER_EPOCH" "The leader epoch is newer than the broker's.",
    UnsupportedCompressionType 76 final "UNSUPPORTED_COMPRESSION_TYPE" "The client's version of the API does not know the compression.",
    StaleBrokerEpoch 77 final "STALE_BROKER_EPOCH" "The broker has registered again since.",
    OffsetNotAvailable 78 retry "OFFSET_NOT_AVAILABLE" "The new leader does not know its high watermark yet.",
    MemberIdRequired 79 final "MEMBER_ID_REQUIRED" "The member must join again with the id it was given.",
    PreferredLeaderNotAvailable 80 retry "PREFERRED_LEADER_NOT_AVAILABLE" "The preferred leader is not available.",
    GroupMaxSizeReached 81 final "GROUP_MAX_SIZE_REACHED" "The group is full.",
    FencedInstanceId 82 final "FENCED_INSTANCE_ID" "Another member has taken over the instance id.",
    EligibleLeadersNotAvailable 83 retry "ELIGIBLE_LEADERS_NOT_AVAILABLE" "No replica may become the leader.",
    ElectionNotNeeded 84 retry "ELECTION_NOT_NEEDED" "The partition already has the leader that an election would give.",
    NoReassignmentInProgress 85 final "NO_REASSIGNMENT_IN_PROGRESS" "No reassignment of the partition is in progress.",
    GroupSubscribedToTopic 86 final "GROUP_SUBSCRIBED_TO_TOPIC" "The group is subscribed to the topic, so its offsets stay.",
    InvalidRecord 87 final "INVALID_RECORD" "The broker's checks refuse a record.",
    UnstableOffsetCommit 88 retry "UNSTABLE_OFFSET_COMMIT" "A transaction that commits offsets is still open.",
    ThrottlingQuotaExceeded 89 retry "THROTTLING_QUOTA_EXCEEDED" "The client's quota is used up.",
    ProducerFenced 90 final "PRODUCER_FENCED" "A newer producer with the transactional id has taken over.",
    ResourceNotFound 91 final "RESOURCE_NOT_FOUND" "There is no such resource.",
    DuplicateResource 92 final "DUPLICATE_RESOURCE" "The request names a resource twice.",
    UnacceptableCredential 93 final "UNACCEPTABLE_CREDENTIAL" "The credential does not meet the requirements.",
    InconsistentVoterSet 94 final "INCONSISTENT_VOTER_SET" "Sender and receiver do not agree on the voters.",
    InvalidUpdateVersion 95 final "INVALID_UPDATE_VERSION" "The version of an update is invalid.",
    FeatureUpdateFailed 96 final "FEATURE_UPDATE_FAILED" "The features could not be updated.",
    PrincipalDeserializationFailure 97 final "PRINCIPAL_DESERIALIZATION_FAILURE" "A forwarded principal cannot be read.",
    SnapshotNotFound 98 final "SNAPSHOT_NOT_FOUND" "There is no such snapshot.",
    PositionOutOfRange 99 final "POSITION_OUT_OF_RANGE" "The position is outside of the snapshot.",
    UnknownTopicId 100 retry "UNKNOWN_TOPIC_ID" "The broker does not know the topic id.",
    DuplicateBrokerRegistration 101 final "DUPLICATE_BROKER_REGISTRATION" "A broker of this id is registered and alive.",
    BrokerIdNotRegistered 102 final "BROKER_ID_NOT_REGISTERED" "No broker of this id is registered.",
    InconsistentTopicId 103 retry "INCONSISTENT_TOPIC_ID" "The topic id differs from that of the log.",
    InconsistentClusterId 104 final "INCONSISTENT_CLUSTER_ID" "The cluster id is another cluster's.",
    TransactionalIdNotFound 105 final "TRANSACTIONAL_ID_NOT_FOUND" "There is no such transactional id.",
    FetchSessionTopicIdError 106 retry "FETCH_SESSION_TOPIC_ID_ERROR" "The fetch session mixes topic names and topic ids.",
    IneligibleReplica 107 final "INELIGIBLE_REPLICA" "A replica of the new ISR may not be in it.",
    NewLeaderElected 108 final "NEW_LEADER_ELECTED" "The request made another replica the leader.",
    OffsetMovedToTieredStorage 109 final "OFFSET_MOVED_TO_TIERED_STORAGE" "The offset lies in tiered storage.",
    FencedMemberEpoch 110 final "FENCED_MEMBER_EPOCH" "The group has fenced the member's epoch; it must abandon its partitions and rejoin.",
    UnreleasedInstanceId 111 final "UNRELEASED_INSTANCE_ID" "Another member still holds the instance id.",
    UnsupportedAssignor 112 final "UNSUPPORTED_ASSIGNOR" "The group does not support the assignor.",
    StaleMemberEpoch 113 final "STALE_MEMBER_EPOCH" "The member's epoch is old; it must learn the new one and retry.",
    MismatchedEndpointType 114 final "MISMATCHED_ENDPOINT_TYPE" "The request went to an endpoint of the wrong type.",
    UnsupportedEndpointType 115 final "UNSUPPORTED_ENDPOINT_TYPE" "The endpoint type is not supported.",
    UnknownControllerId 116 final "UNKNOWN_CONTROLLER_ID" "There is no controller of this id.",
    UnknownSubscriptionId 117 final "UNKNOWN_SUBSCRIPTION_ID" "The telemetry subscription id is not the current one.",
    TelemetryTooLarge 118 final "TELEMETRY_TOO_LARGE" "The telemetry is larger than the broker takes.",
    InvalidRegistration 119 final "INVALID_REGISTRATION" "The controller refuses the broker's registration.",
    TransactionAbortable 120 final "TRANSACTION_ABORTABLE" "The transaction met an error; the client must abort it.",
    InvalidRecordState 121 final "INVALID_RECORD_STATE" "The record's state does not allow the acknowledgement.",
    ShareSessionNotFound 122 retry "SHARE_SESSION_NOT_FOUND" "The broker has no such share session.",
    InvalidShareSessionEpoch 123 retry "INVALID_SHARE_SESSION_EPOCH" "The epoch does not follow that of the share session.",
    FencedStateEpoch 124 final "FENCED_STATE_EPOCH" "The share group's state epoch is older than the coordinator's.",
    InvalidVoterKey 125 final "INVALID_VOTER_KEY" "The voter key is not that of the receiving node.",
    DuplicateVoter 126 final "DUPLICATE_VOTER" "The node is a voter already.",
    VoterNotFound 127 final "VOTER_NOT_FOUND" "The node is not a voter.",
    InvalidRegularExpression 128 final "INVALID_REGULAR_EXPRESSION" "The regular expression is invalid.",
    RebootstrapRequired 129 final "REBOOTSTRAP_REQUIRED" "The client's metadata is stale; it must start over from its bootstrap servers.",
    StreamsInvalidTopology 130 final "STREAMS_INVALID_TOPOLOGY" "The streams topology is invalid.",
    StreamsInvalidTopologyEpoch 131 final "STREAMS_INVALID_TOPOLOGY_EPOCH" "The streams topology epoch is invalid.",
    StreamsTopologyFenced 132 final "STREAMS_TOPOLOGY_FENCED" "The streams topology epoch is older than the group's.",
    ShareSessionLimitReached 133 retry "SHARE_SESSION_LIMIT_REACHED" "The broker holds as many share sessions as it may.",
}

impl ErrorCode {
    /// The error of a number on the wire; one that is newer than this table counts as unknown.
    pub fn from_wire(code: i16) -> ErrorCode {
        ErrorCode::from_i16(code).unwrap_or(ErrorCode::UnknownServerError)
    }

    /// The number on the wire.
    pub fn code(self) -> i16 {
        self as i16
    }

    /// Whether this is no error.
    pub fn is_none(self) -> bool {
        self == ErrorCode::None
    }
}

#[expect(clippy::derivable_impls, reason = "the table's macro cannot mark one variant")]
impl Default for ErrorCode {
    fn default() -> Self {
        ErrorCode::None
    }
}

impl From<ErrorCode> for i16 {
    fn from(error: ErrorCode) -> i16 {
        error.code()
    }
}

impl fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.name(), self.message())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_has_every_number_from_minus_one_to_133() {
        let codes: Vec<i16> = ErrorCode::ALL.iter().map(|error| error.code()).collect();
        assert_eq!(codes, (-1..=133).collect::<Vec<i16>>());
        assert!(ErrorCode::ALL.iter().all(|error| ErrorCode::from_i16(error.code()) == Some(*error)));
        assert_eq!(ErrorCode::from_i16(134), None);
    }

    #[test]
    fn names_are_the_variants_in_capitals() {
        for error in ErrorCode::ALL {
            let name = error.name().replace('_', "").to_lowercase();
            assert_eq!(name, format!("{error:?}").to_lowercase());
        }
    }
}

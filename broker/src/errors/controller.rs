//! Codes of what the controller refuses. No I/O.

use ottla_broker_config::ConfigError;
use ottla_broker_metadata::controller::{
    AllocateProducerIdsError, AlterConfigError, AlterPartitionError, AssignmentError, CreatePartitionsError,
    CreateTopicError, DeleteTopicError, ElectionError, PlacementError, ReassignmentError,
    RegisterBrokerError, RegistrationError, TooManyReassignments, TopicConfigError, UnregisterBrokerError,
};
use ottla_broker_protocol::ErrorCode;
use ottla_broker_types::InvalidTopicName;

use super::KafkaError;

impl KafkaError for RegistrationError {
    fn code(&self) -> ErrorCode {
        match self {
            RegistrationError::NotRegistered { .. } => ErrorCode::BrokerIdNotRegistered,
            RegistrationError::StaleEpoch { .. } => ErrorCode::StaleBrokerEpoch,
        }
    }
}

impl KafkaError for RegisterBrokerError {
    fn code(&self) -> ErrorCode {
        match self {
            RegisterBrokerError::OtherCluster { .. } => ErrorCode::InconsistentClusterId,
            RegisterBrokerError::UnsupportedFeature { .. } => ErrorCode::UnsupportedVersion,
            RegisterBrokerError::RunsElsewhere { .. } => ErrorCode::DuplicateBrokerRegistration,
            RegisterBrokerError::NoListener { .. }
            | RegisterBrokerError::DirectoryTwice { .. }
            | RegisterBrokerError::DirectoryOfOther { .. } => ErrorCode::InvalidRegistration,
        }
    }
}

impl KafkaError for UnregisterBrokerError {
    fn code(&self) -> ErrorCode {
        match self {
            UnregisterBrokerError::NotRegistered { .. } => ErrorCode::BrokerIdNotRegistered,
            UnregisterBrokerError::HoldsReplicas { .. } => ErrorCode::InvalidRequest,
        }
    }
}

impl KafkaError for AllocateProducerIdsError {
    fn code(&self) -> ErrorCode {
        match self {
            AllocateProducerIdsError::Registration(error) => error.code(),
            AllocateProducerIdsError::UsedUp => ErrorCode::UnknownServerError,
        }
    }
}

impl KafkaError for AlterPartitionError {
    fn code(&self) -> ErrorCode {
        match self {
            AlterPartitionError::UnknownTopic { .. } => ErrorCode::UnknownTopicId,
            AlterPartitionError::UnknownPartition { .. } => ErrorCode::UnknownTopicOrPartition,
            AlterPartitionError::FromTheFuture => ErrorCode::NotController,
            AlterPartitionError::FencedLeaderEpoch { .. } => ErrorCode::FencedLeaderEpoch,
            AlterPartitionError::StalePartitionEpoch { .. } => ErrorCode::InvalidUpdateVersion,
            AlterPartitionError::NamedTwice { .. }
            | AlterPartitionError::NotLeader { .. }
            | AlterPartitionError::NotReplicas { .. }
            | AlterPartitionError::WithoutLeader
            | AlterPartitionError::Recovery => ErrorCode::InvalidRequest,
            AlterPartitionError::Ineligible { .. } => ErrorCode::IneligibleReplica,
            AlterPartitionError::NewLeaderElected { .. } => ErrorCode::NewLeaderElected,
        }
    }
}

impl KafkaError for ElectionError {
    fn code(&self) -> ErrorCode {
        match self {
            ElectionError::UnknownTopic | ElectionError::UnknownPartition => {
                ErrorCode::UnknownTopicOrPartition
            }
            ElectionError::NotNeeded => ErrorCode::ElectionNotNeeded,
            ElectionError::PreferredUnavailable => ErrorCode::PreferredLeaderNotAvailable,
            ElectionError::NoReplicaRunning => ErrorCode::EligibleLeadersNotAvailable,
        }
    }
}

impl KafkaError for TooManyReassignments {
    fn code(&self) -> ErrorCode {
        ErrorCode::InvalidRequest
    }
}

impl KafkaError for ReassignmentError {
    fn code(&self) -> ErrorCode {
        match self {
            ReassignmentError::NamedTwice => ErrorCode::InvalidRequest,
            ReassignmentError::UnknownTopic | ReassignmentError::UnknownPartition => {
                ErrorCode::UnknownTopicOrPartition
            }
            ReassignmentError::Target(error) => error.code(),
            ReassignmentError::FactorChange { .. } => ErrorCode::InvalidReplicationFactor,
            ReassignmentError::NotReassigning => ErrorCode::NoReassignmentInProgress,
            ReassignmentError::WouldLoseRecords => ErrorCode::InvalidReplicaAssignment,
        }
    }
}

impl KafkaError for AssignmentError {
    fn code(&self) -> ErrorCode {
        match self {
            AssignmentError::NoReplicas
            | AssignmentError::BrokerTwice { .. }
            | AssignmentError::UnknownBroker { .. }
            | AssignmentError::UnequalLength { .. }
            | AssignmentError::NoneActive { .. } => ErrorCode::InvalidReplicaAssignment,
        }
    }
}

impl KafkaError for PlacementError {
    fn code(&self) -> ErrorCode {
        match self {
            PlacementError::TooFewBrokers { .. } | PlacementError::AllFenced => {
                ErrorCode::InvalidReplicationFactor
            }
        }
    }
}

impl KafkaError for CreateTopicError {
    fn code(&self) -> ErrorCode {
        match self {
            CreateTopicError::NamedTwice { .. }
            | CreateTopicError::Name(InvalidTopicName::Reserved)
            | CreateTopicError::NumberBesideAssignments { .. } => ErrorCode::InvalidRequest,
            CreateTopicError::Name(_) | CreateTopicError::Collides { .. } => ErrorCode::InvalidTopicException,
            CreateTopicError::Exists { .. } => ErrorCode::TopicAlreadyExists,
            CreateTopicError::PartitionCount => ErrorCode::InvalidPartitions,
            CreateTopicError::ReplicationFactor => ErrorCode::InvalidReplicationFactor,
            CreateTopicError::TooManyPartitions => ErrorCode::PolicyViolation,
            CreateTopicError::AssignmentNumbers => ErrorCode::InvalidReplicaAssignment,
            CreateTopicError::Assignment(error) => error.code(),
            CreateTopicError::Placement(error) => error.code(),
            CreateTopicError::ConfigWithoutValue { .. } => ErrorCode::InvalidConfig,
            CreateTopicError::Config(error) => error.code(),
        }
    }
}

impl KafkaError for CreatePartitionsError {
    fn code(&self) -> ErrorCode {
        match self {
            CreatePartitionsError::NamedTwice { .. } => ErrorCode::InvalidRequest,
            CreatePartitionsError::UnknownTopic { .. } => ErrorCode::UnknownTopicOrPartition,
            CreatePartitionsError::NoneToAdd { .. }
            | CreatePartitionsError::Fewer { .. }
            | CreatePartitionsError::TooManyPartitions => ErrorCode::InvalidPartitions,
            CreatePartitionsError::AssignmentCount { .. } => ErrorCode::InvalidReplicaAssignment,
            CreatePartitionsError::Assignment(error) => error.code(),
            CreatePartitionsError::Placement(error) => error.code(),
        }
    }
}

impl KafkaError for DeleteTopicError {
    fn code(&self) -> ErrorCode {
        match self {
            DeleteTopicError::Disabled => ErrorCode::TopicDeletionDisabled,
            DeleteTopicError::UnknownName { .. } => ErrorCode::UnknownTopicOrPartition,
            DeleteTopicError::UnknownId { .. } => ErrorCode::UnknownTopicId,
            DeleteTopicError::NamedTwice { .. } => ErrorCode::InvalidRequest,
        }
    }
}

impl KafkaError for TopicConfigError {
    fn code(&self) -> ErrorCode {
        match self {
            TopicConfigError::Setting(error) => error.code(),
            TopicConfigError::CompactionLags => ErrorCode::InvalidConfig,
        }
    }
}

impl KafkaError for AlterConfigError {
    fn code(&self) -> ErrorCode {
        match self {
            AlterConfigError::UnknownTopic { .. } => ErrorCode::UnknownTopicOrPartition,
            AlterConfigError::UnknownBroker { .. } => ErrorCode::BrokerIdNotRegistered,
            // As in Kafka a wrong value of a broker is an invalid request, one of a topic an invalid setting.
            AlterConfigError::ResourceTwice
            | AlterConfigError::SettingTwice { .. }
            | AlterConfigError::Unnamed
            | AlterConfigError::ClientMetrics
            | AlterConfigError::BrokerValue(_) => ErrorCode::InvalidRequest,
            AlterConfigError::ConfigWithoutValue { .. } | AlterConfigError::MinInsyncReplicasOfOneBroker => {
                ErrorCode::InvalidConfig
            }
            AlterConfigError::Setting(error) => error.code(),
            AlterConfigError::Topic(error) => error.code(),
        }
    }
}

impl KafkaError for ConfigError {
    fn code(&self) -> ErrorCode {
        match self {
            ConfigError::Static { .. } | ConfigError::PerBrokerOnly { .. } => ErrorCode::InvalidRequest,
            ConfigError::Unknown { .. }
            | ConfigError::Removed { .. }
            | ConfigError::Invalid { .. }
            | ConfigError::Refused { .. }
            | ConfigError::NotAList { .. }
            | ConfigError::Missing { .. }
            | ConfigError::Conflict { .. } => ErrorCode::InvalidConfig,
        }
    }
}

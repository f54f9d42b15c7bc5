//! What the key table says about an API and its headers. No I/O.

use std::ops::RangeInclusive;

use crate::generated::api_key::ApiKey;
use crate::rules::ApiRules;

impl ApiKey {
    /// Kafka's name of the API.
    pub fn name(self) -> &'static str {
        self.facts().name
    }

    /// The key on the wire.
    pub fn code(self) -> i16 {
        self as i16
    }

    /// Versions that this codec reads and writes.
    pub fn versions(self) -> RangeInclusive<i16> {
        self.facts().versions
    }

    /// Versions to list in ApiVersions. They differ from [`ApiKey::versions`] for Produce alone: librdkafka
    /// compresses only if it sees version 0 (KAFKA-18659), although 0 to 2 are refused when used.
    pub fn advertised_versions(self) -> RangeInclusive<i16> {
        self.facts().advertised
    }

    /// Whether requests and responses of `version` have compact lengths and tagged fields.
    pub fn is_flexible(self, version: i16) -> bool {
        version >= self.facts().flexible_from
    }

    /// Who is served, what the asker must be allowed, and what a request may cost.
    pub fn rules(self) -> &'static ApiRules {
        self.facts().rules
    }

    /// Version of the header before a request of `version`.
    pub fn request_header_version(self, version: i16) -> i16 {
        if self.is_flexible(version) { 2 } else { 1 }
    }

    /// Version of the header before a response of `version`. ApiVersions always has 0, so that a client which
    /// does not know the broker's versions yet can read the answer (KIP-511).
    pub fn response_header_version(self, version: i16) -> i16 {
        i16::from(self != ApiKey::ApiVersions && self.is_flexible(version))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::{Listeners, Need, Operation, Resource};

    #[test]
    fn a_producer_needs_to_write_each_topic_that_it_names() {
        let checks = ApiKey::Produce.rules().checks;
        let need = |resource, field| Need { resource, operation: Operation::Write, field: Some(field) };
        assert_eq!(checks[0].any_of, [need(Resource::Topic, "topic_data.name")]);
        assert_eq!(checks[1].any_of, [need(Resource::TransactionalId, "transactional_id")]);
    }

    #[test]
    fn every_key_is_found_again() {
        for key in ApiKey::ALL {
            assert_eq!(ApiKey::from_i16(key.code()), Some(*key));
        }
        assert_eq!(ApiKey::from_i16(4), None);
    }

    #[test]
    fn header_versions_follow_flexibility_except_for_api_versions() {
        assert_eq!(
            (ApiKey::Fetch.request_header_version(11), ApiKey::Fetch.response_header_version(11)),
            (1, 0)
        );
        assert_eq!(
            (ApiKey::Fetch.request_header_version(12), ApiKey::Fetch.response_header_version(12)),
            (2, 1)
        );
        assert_eq!(ApiKey::ApiVersions.request_header_version(3), 2);
        assert_eq!(ApiKey::ApiVersions.response_header_version(3), 0);
        assert_eq!(ApiKey::SaslHandshake.request_header_version(1), 1);
        assert_eq!(ApiKey::OffsetDelete.response_header_version(0), 0);
    }

    #[test]
    fn produce_is_advertised_from_zero_and_read_from_three() {
        assert_eq!(ApiKey::Produce.advertised_versions(), 0..=13);
        assert_eq!(ApiKey::Produce.versions(), 3..=13);
    }

    #[test]
    fn calls_between_brokers_are_marked() {
        let listeners = |key: ApiKey| key.rules().listeners;
        assert_eq!(listeners(ApiKey::AlterPartition), Listeners::Brokers);
        assert_eq!(listeners(ApiKey::RaftMessage), Listeners::Brokers);
        assert_eq!(listeners(ApiKey::Fetch), Listeners::All);
    }
}

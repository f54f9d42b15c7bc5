//! Which version of a request two brokers both know: they may be of different releases while a cluster is upgraded, or
//! goes back. Pure.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use ottla_broker_protocol::ApiKey;
use ottla_broker_protocol::messages::api_versions_response::ApiVersionsResponse;

/// The versions that the broker at the other end of a connection serves, by the number of the API.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ServedVersions(BTreeMap<i16, RangeInclusive<i16>>);

/// Two brokers know no version of an API in common.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "serves {} of {}, and this broker knows {} to {}: go from release to release without leaving one out",
    served.as_ref().map_or_else(|| "no version".to_owned(), |served| format!("{} to {}", served.start(), served.end())),
    api.name(),
    known.start(),
    known.end()
)]
pub struct NoCommonVersion {
    /// Which the other broker serves in no version that this one knows.
    pub api: ApiKey,
    /// What this broker knows.
    pub known: RangeInclusive<i16>,
    /// What the other one serves; `None` if nothing.
    pub served: Option<RangeInclusive<i16>>,
}

impl ServedVersions {
    /// What an answer to ApiVersions says.
    pub fn new(response: &ApiVersionsResponse<'_>) -> ServedVersions {
        let ranges = response.api_keys.iter().map(|api| (api.api_key, api.min_version..=api.max_version));
        ServedVersions(ranges.collect())
    }

    /// Whether `version` of `api` is served there.
    pub fn contains(&self, api: ApiKey, version: i16) -> bool {
        self.0.get(&api.code()).is_some_and(|served| served.contains(&version))
    }

    /// The newest version of `api` that is served there and among the `known` ones here.
    ///
    /// # Errors
    /// There is none.
    pub fn newest(&self, api: ApiKey, known: &RangeInclusive<i16>) -> Result<i16, NoCommonVersion> {
        let served = self.0.get(&api.code());
        let newest = served.map(|served| (*served.end()).min(*known.end()));
        newest
            .filter(|newest| known.contains(newest) && served.is_some_and(|served| served.contains(newest)))
            .ok_or_else(|| NoCommonVersion { api, known: known.clone(), served: served.cloned() })
    }
}

#[cfg(test)]
mod tests {
    use ottla_broker_protocol::messages::api_versions_response::ApiVersion;

    use super::*;

    fn serving(min_version: i16, max_version: i16) -> ServedVersions {
        let api =
            ApiVersion { api_key: ApiKey::Fetch.code(), min_version, max_version, ..Default::default() };
        ServedVersions::new(&ApiVersionsResponse { api_keys: vec![api], ..Default::default() })
    }

    #[test]
    fn the_newest_common_version_is_spoken_whichever_side_is_newer() {
        assert_eq!(serving(4, 17).newest(ApiKey::Fetch, &(15..=18)), Ok(17));
        assert_eq!(serving(4, 19).newest(ApiKey::Fetch, &(15..=18)), Ok(18));
        assert_eq!(serving(16, 16).newest(ApiKey::Fetch, &(15..=18)), Ok(16));
        assert!(serving(4, 17).contains(ApiKey::Fetch, 17) && !serving(4, 17).contains(ApiKey::Fetch, 18));
    }

    #[test]
    fn without_a_common_version_the_error_names_both_ranges() {
        for there in [serving(4, 14), serving(19, 20)] {
            let error = there.newest(ApiKey::Fetch, &(15..=18)).unwrap_err().to_string();
            assert!(error.contains("Fetch") && error.contains("15 to 18"), "{error}");
        }
        let error = serving(0, 17).newest(ApiKey::Produce, &(9..=9)).unwrap_err();
        assert_eq!(error.served, None);
        assert!(error.to_string().contains("serves no version of Produce"), "{error}");
    }
}

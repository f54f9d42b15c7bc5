//! One operator acts at a time: whoever holds the Lease. It is lost by not renewing it, never by two clocks agreeing.

use std::time::Duration;

use anyhow::{Context, bail};
use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta};
use k8s_openapi::jiff::Timestamp;
use kube::api::PostParams;
use kube::{Api, Client};
use ottla_broker_types::TimestampMs;

use crate::clock;

/// How long a Lease holds after its last renewal.
const LEASE: Duration = Duration::from_secs(15);
/// How often the holder renews it and others look at it.
const RENEW: Duration = Duration::from_secs(4);
/// The holder gives up after this long without a renewal: before anybody else may take over.
const GIVE_UP: Duration = Duration::from_secs(10);

/// The Lease of the operator.
pub struct Leadership {
    api: Api<Lease>,
    name: String,
    identity: String,
}

/// What an onlooker remembers of a Lease: a change of it restarts the wait, whatever the holder's clock says.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Sighting {
    version: Option<String>,
    at: TimestampMs,
}

impl Leadership {
    /// The Lease `name` in `namespace`, to be held as `identity`.
    pub fn new(client: Client, namespace: &str, name: &str, identity: &str) -> Leadership {
        let api = Api::namespaced(client, namespace);
        Leadership { api, name: name.to_owned(), identity: identity.to_owned() }
    }

    /// Waits until the Lease is ours.
    pub async fn acquire(&self) {
        let mut sighting: Option<Sighting> = None;
        loop {
            match self.attempt(&mut sighting).await {
                Ok(true) => return,
                Ok(false) => {}
                Err(error) => tracing::warn!(error = format!("{error:#}"), "the lease cannot be read"),
            }
            tokio::time::sleep(RENEW).await;
        }
    }

    /// Renews the Lease until that fails for too long; returns why.
    pub async fn keep(&self) -> anyhow::Result<()> {
        let mut renewed = clock::now();
        loop {
            tokio::time::sleep(RENEW).await;
            match self.renew().await {
                Ok(()) => renewed = clock::now(),
                Err(error) if elapsed(renewed) > GIVE_UP => {
                    return Err(error.context("the lease could not be renewed in time"));
                }
                Err(error) => tracing::warn!(error = format!("{error:#}"), "the lease was not renewed"),
            }
        }
    }

    /// Gives the Lease back, so that the next one need not wait for it to run out.
    pub async fn release(&self) -> anyhow::Result<()> {
        let mut lease = self.api.get(&self.name).await.context("read the lease")?;
        if holder(&lease) == Some(self.identity.as_str()) {
            lease.spec.get_or_insert_default().holder_identity = None;
            self.api
                .replace(&self.name, &PostParams::default(), &lease)
                .await
                .context("release the lease")?;
        }
        Ok(())
    }

    async fn attempt(&self, sighting: &mut Option<Sighting>) -> anyhow::Result<bool> {
        let Some(lease) = self.api.get_opt(&self.name).await.context("read the lease")? else {
            let made = self.api.create(&PostParams::default(), &self.claim(None)).await;
            return Ok(made.is_ok());
        };
        let free = holder(&lease).is_none_or(|holder| holder.is_empty() || holder == self.identity);
        let version = lease.metadata.resource_version.clone();
        let seen = sighting.get_or_insert_with(|| Sighting { version: version.clone(), at: clock::now() });
        if seen.version != version {
            *seen = Sighting { version, at: clock::now() };
        }
        if !free && elapsed(seen.at) < LEASE {
            return Ok(false);
        }
        // The version makes this fail if anybody else was faster.
        let claim = self.claim(Some(&lease));
        Ok(self.api.replace(&self.name, &PostParams::default(), &claim).await.is_ok())
    }

    async fn renew(&self) -> anyhow::Result<()> {
        let lease = self.api.get(&self.name).await.context("read the lease")?;
        if holder(&lease) != Some(self.identity.as_str()) {
            bail!("another operator holds the lease");
        }
        let claim = self.claim(Some(&lease));
        self.api.replace(&self.name, &PostParams::default(), &claim).await.context("renew the lease")?;
        Ok(())
    }

    fn claim(&self, present: Option<&Lease>) -> Lease {
        let now = Timestamp::from_millisecond(clock::now().0).unwrap_or(Timestamp::UNIX_EPOCH);
        let held = present.is_some_and(|lease| holder(lease) == Some(self.identity.as_str()));
        let former = present.and_then(|lease| lease.spec.clone()).unwrap_or_default();
        let metadata = present.map(|lease| lease.metadata.clone());
        Lease {
            metadata: metadata
                .unwrap_or_else(|| ObjectMeta { name: Some(self.name.clone()), ..ObjectMeta::default() }),
            spec: Some(LeaseSpec {
                holder_identity: Some(self.identity.clone()),
                lease_duration_seconds: i32::try_from(LEASE.as_secs()).ok(),
                acquire_time: if held { former.acquire_time } else { Some(MicroTime(now)) },
                renew_time: Some(MicroTime(now)),
                lease_transitions: Some(former.lease_transitions.unwrap_or(0) + i32::from(!held)),
                ..LeaseSpec::default()
            }),
        }
    }
}

fn holder(lease: &Lease) -> Option<&str> {
    lease.spec.as_ref()?.holder_identity.as_deref()
}

fn elapsed(since: TimestampMs) -> Duration {
    Duration::from_millis(u64::try_from(clock::now().0 - since.0).unwrap_or(0))
}

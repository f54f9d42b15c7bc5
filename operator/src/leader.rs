//! One operator acts at a time: whoever holds the Lease. It is lost by not renewing it, never by two clocks agreeing.

use std::time::Duration;

use anyhow::Context;
use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta};
use k8s_openapi::jiff::Timestamp;
use kube::api::PostParams;
use kube::{Api, Client};
use tokio::time::Instant;

use crate::clock;

/// How long a Lease holds after its last renewal.
const LEASE: Duration = Duration::from_secs(15);
/// How often the holder renews it and others look at it.
const RENEW: Duration = Duration::from_secs(4);
/// One reading of it or one renewal may take so long; an API server that hangs must not keep the holder from giving up.
const ATTEMPT: Duration = Duration::from_secs(3);
/// Between two attempts to renew it.
const RETRY: Duration = Duration::from_secs(1);
/// The holder gives up after this long without a renewal. With the attempt before that the API server may have counted
/// without telling, it is over before anybody else may take over: `GIVE_UP + ATTEMPT < LEASE`.
const GIVE_UP: Duration = Duration::from_secs(10);
const _: () = assert!(GIVE_UP.as_secs() + ATTEMPT.as_secs() < LEASE.as_secs());

/// Which Lease, and who holds it.
#[derive(Clone, Debug)]
pub struct LeaseOptions {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Who holds it: the pod's name, where there is one.
    pub identity: String,
}

/// The Lease of the operator.
pub struct Leadership {
    api: Api<Lease>,
    name: String,
    identity: String,
}

/// What an onlooker remembers of a Lease: a change of it restarts the wait, whatever any wall clock says.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Sighting {
    version: Option<String>,
    at: Instant,
}

impl Sighting {
    /// Whether the Lease, seen at `version` now, has run out by not being renewed.
    fn has_run_out(seen: &mut Option<Sighting>, version: Option<&str>, now: Instant) -> bool {
        match seen {
            Some(seen) if seen.version.as_deref() == version => now.duration_since(seen.at) >= LEASE,
            _ => {
                *seen = Some(Sighting { version: version.map(str::to_owned), at: now });
                false
            }
        }
    }
}

/// Why a renewal did not work.
#[derive(Debug, thiserror::Error)]
enum RenewError {
    /// Somebody else acts: going on would make two.
    #[error("{0} holds the lease now")]
    Lost(String),
    /// It may work the next time.
    #[error("{0}")]
    Failed(#[from] kube::Error),
}

impl Leadership {
    /// The Lease of `options`, not held yet.
    pub fn new(client: Client, options: &LeaseOptions) -> Leadership {
        let LeaseOptions { namespace, name, identity } = options.clone();
        Leadership { api: Api::namespaced(client, &namespace), name, identity }
    }

    /// Waits until the Lease is ours.
    pub async fn acquire(&self) {
        let mut sighting: Option<Sighting> = None;
        loop {
            match tokio::time::timeout(ATTEMPT, self.attempt(&mut sighting)).await {
                Ok(Ok(true)) => return,
                Ok(Ok(false)) => {}
                Ok(Err(error)) => tracing::warn!(error = format!("{error:#}"), "the lease cannot be read"),
                Err(_) => tracing::warn!("the API server does not answer about the lease"),
            }
            tokio::time::sleep(RENEW).await;
        }
    }

    /// Renews the Lease until that fails for too long, or until somebody else holds it; says which.
    pub async fn keep(&self) -> anyhow::Result<()> {
        loop {
            tokio::time::sleep(RENEW).await;
            let renewed = tokio::time::timeout(GIVE_UP - RENEW, self.renew_somehow()).await;
            renewed.context("the lease could not be renewed in time")??;
        }
    }

    /// Tries until it works or is in vain.
    async fn renew_somehow(&self) -> Result<(), RenewError> {
        loop {
            match tokio::time::timeout(ATTEMPT, self.renew()).await {
                Ok(Ok(())) => return Ok(()),
                Ok(Err(RenewError::Failed(error))) => tracing::warn!(%error, "the lease was not renewed"),
                Ok(Err(lost)) => return Err(lost),
                Err(_) => tracing::warn!("the API server does not answer about the lease"),
            }
            tokio::time::sleep(RETRY).await;
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
        let version = lease.metadata.resource_version.as_deref();
        if !Sighting::has_run_out(sighting, version, clock::monotonic()) && !free {
            return Ok(false);
        }
        // The version makes this fail if anybody else was faster.
        let claim = self.claim(Some(&lease));
        Ok(self.api.replace(&self.name, &PostParams::default(), &claim).await.is_ok())
    }

    async fn renew(&self) -> Result<(), RenewError> {
        let lease = self.api.get(&self.name).await?;
        let holder = holder(&lease).unwrap_or("nobody");
        if holder != self.identity {
            return Err(RenewError::Lost(holder.to_owned()));
        }
        let claim = self.claim(Some(&lease));
        self.api.replace(&self.name, &PostParams::default(), &claim).await?;
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

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_lease_runs_out_only_by_not_being_renewed() {
        let mut seen = None;
        assert!(!Sighting::has_run_out(&mut seen, Some("1"), clock::monotonic()));
        tokio::time::advance(LEASE - Duration::from_secs(1)).await;
        assert!(!Sighting::has_run_out(&mut seen, Some("1"), clock::monotonic()));
        assert!(!Sighting::has_run_out(&mut seen, Some("2"), clock::monotonic()), "it was renewed");
        tokio::time::advance(LEASE - Duration::from_secs(1)).await;
        assert!(!Sighting::has_run_out(&mut seen, Some("2"), clock::monotonic()));
        tokio::time::advance(Duration::from_secs(1)).await;
        assert!(Sighting::has_run_out(&mut seen, Some("2"), clock::monotonic()));
    }
}

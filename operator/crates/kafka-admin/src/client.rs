//! The client: finds brokers, keeps a connection to each, sends each call where it must go. Brokers pass
//! what only the controller decides on to it, so most calls may go to any of them.

use std::collections::BTreeMap;
use std::time::Duration;

use ottla_broker_protocol::Request;
use ottla_broker_types::NodeId;
use tokio::sync::Mutex;

use crate::connection::Connection;
use crate::error::{AdminError, CallError};

/// Where a broker listens for clients.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Endpoint {
    /// Name or address.
    pub host: String,
    /// Port.
    pub port: u16,
}

impl std::fmt::Display for Endpoint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}", self.host, self.port)
    }
}

#[derive(Debug, Default)]
struct State {
    by_address: BTreeMap<String, Connection>,
    brokers: BTreeMap<NodeId, String>,
}

/// A client of one cluster.
#[derive(Debug)]
pub struct AdminClient {
    bootstrap: Vec<Endpoint>,
    timeout: Duration,
    state: Mutex<State>,
}

impl AdminClient {
    /// A client that finds the cluster through `bootstrap`; `timeout` bounds every single request.
    pub fn new(bootstrap: Vec<Endpoint>, timeout: Duration) -> AdminClient {
        AdminClient { bootstrap, timeout, state: Mutex::default() }
    }

    /// The time that each request may take.
    pub fn timeout(&self) -> Duration {
        self.timeout
    }

    /// Asks whichever broker answers first.
    pub(crate) async fn call_any<R, T>(
        &self,
        request: &R,
        mut read: impl FnMut(R::Response<'_>) -> T,
    ) -> Result<T, CallError>
    where
        R: Request,
    {
        let mut addresses: Vec<String> = self.state.lock().await.brokers.values().cloned().collect();
        addresses.extend(self.bootstrap.iter().map(Endpoint::to_string));
        addresses.dedup();
        let mut last = None;
        for address in addresses {
            match self.call_at(&address, request, &mut read).await {
                Ok(answer) => return Ok(answer),
                Err(error) => last = Some(error),
            }
        }
        Err(last.unwrap_or_else(|| CallError::Closed { address: "no bootstrap address given".to_owned() }))
    }

    /// Asks one broker, which must be the one.
    pub(crate) async fn call_broker<R, T>(
        &self,
        broker: NodeId,
        request: &R,
        mut read: impl FnMut(R::Response<'_>) -> T,
    ) -> Result<T, AdminError>
    where
        R: Request,
    {
        let mut address = self.state.lock().await.brokers.get(&broker).cloned();
        if address.is_none() {
            self.describe_cluster().await?;
            address = self.state.lock().await.brokers.get(&broker).cloned();
        }
        let address = address.ok_or(AdminError::UnknownBroker(broker.0))?;
        Ok(self.call_at(&address, request, &mut read).await?)
    }

    /// Remembers where brokers are.
    pub(crate) async fn learn(&self, brokers: BTreeMap<NodeId, String>) {
        self.state.lock().await.brokers = brokers;
    }

    async fn call_at<R, T>(
        &self,
        address: &str,
        request: &R,
        read: &mut impl FnMut(R::Response<'_>) -> T,
    ) -> Result<T, CallError>
    where
        R: Request,
    {
        // A kept connection may have been closed by a restart of its broker: then a fresh one is tried once.
        let kept = self.state.lock().await.by_address.remove(address);
        if let Some(mut connection) = kept {
            match connection.call(request, &mut *read).await {
                Ok(answer) => {
                    self.state.lock().await.by_address.insert(address.to_owned(), connection);
                    return Ok(answer);
                }
                Err(CallError::Closed { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        let mut connection = Connection::open(address, self.timeout).await?;
        let answer = connection.call(request, &mut *read).await?;
        self.state.lock().await.by_address.insert(address.to_owned(), connection);
        Ok(answer)
    }
}

//! The listening sockets, and what is served on each.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use ottla_broker_config::{BrokerConfig, Listener};
use tokio::net::TcpListener;
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::api::Api;
use crate::broker::Broker;
use crate::clock::Clock;
use crate::controller::Standing;
use crate::health::Health;
use crate::listener::{self, Budgets, ByteBudget, ListenerSettings, Role, Session};
use crate::memory::MemoryShares;
use crate::net::SocketOptions;
use crate::stop::until_true;

/// Every socket that the settings ask for, bound before anything else starts so that a taken port fails early.
pub struct Sockets {
    kafka: Vec<(TcpListener, ListenerSettings)>,
    http: Option<TcpListener>,
}

impl Sockets {
    /// Opens them.
    pub async fn bind(
        config: &BrokerConfig,
        shares: &MemoryShares,
        clock: Clock,
        data: &Handle,
    ) -> anyhow::Result<Sockets> {
        let budgets = |frames, leftovers| Budgets {
            frames: ByteBudget::new(frames),
            leftovers: ByteBudget::new(leftovers),
        };
        // Clients that take all of theirs must not hold up the metadata and the copies of the brokers.
        let for_clients = budgets(shares.client_frames, shares.client_leftovers);
        let for_brokers = budgets(shares.broker_frames, shares.broker_leftovers);
        let options = SocketOptions {
            backlog: config.network.listen_backlog,
            send_buffer_bytes: config.network.socket_send_buffer_bytes,
            receive_buffer_bytes: config.network.socket_receive_buffer_bytes,
        };
        let private = private_listener(config);
        let mut kafka = Vec::new();
        for bound in &config.listeners {
            let socket = crate::net::listen(&bound.host, bound.port, options)
                .await
                .with_context(|| format!("open listener {}", bound.name))?;
            let idle_max = config.network.connections_idle_ms_max;
            let is_private = private.is_some_and(|private| private.name == bound.name);
            let (role, budgets) =
                if is_private { (Role::Broker, &for_brokers) } else { (Role::Client, &for_clients) };
            let settings = ListenerSettings {
                session: Session::anonymous(&bound.name, role).into(),
                admission: None,
                frame_bytes_max: shares.frame_max,
                idle_max: idle_max.map_or(Duration::MAX, |idle| idle.to_std()),
                budgets: budgets.clone(),
                clock,
                data: data.clone(),
            };
            kafka.push((socket, settings));
        }
        let http = match &config.network.metrics_listener {
            Some(address) => Some(
                crate::net::listen(&address.host, address.port, SocketOptions::default())
                    .await
                    .context("open ottla.metrics.listener")?,
            ),
            None => None,
        };
        Ok(Sockets { kafka, http })
    }

    /// Fills in what the settings leave out of the addresses that clients are told: the machine's name for the host,
    /// the port that was bound for port 0.
    pub async fn complete(&self, advertised: &mut [Listener]) -> anyhow::Result<()> {
        for listener in advertised {
            if listener.host.is_empty() {
                listener.host = crate::net::machine_name().await;
                tracing::info!(listener = %listener, "advertising this machine's name");
            }
            let bound = self.kafka.iter().find(|(_, settings)| *settings.session.listener == *listener.name);
            if let (0, Some((socket, _))) = (listener.port, bound) {
                listener.port = socket.local_addr().context("ask for the bound port")?.port();
            }
        }
        Ok(())
    }

    /// Serves on each until `drain` turns true.
    pub fn serve(self, broker: &Arc<Broker>, drain: &watch::Receiver<bool>, tasks: &mut JoinSet<()>) {
        let api = Arc::new(Api::new(Arc::clone(broker)));
        for (socket, mut settings) in self.kafka {
            let is_for_clients = !settings.session.is_broker();
            settings.admission = is_for_clients.then(|| Arc::clone(&broker.admission));
            let (api, mut drain) = (Arc::clone(&api), drain.clone());
            let for_clients = is_for_clients.then(|| in_service(broker.controller.standing()));
            tasks.spawn(async move {
                if let Some(in_service) = for_clients {
                    tokio::select! {
                        () = listener::until_in_service(&socket, in_service) => {}
                        () = until_true(&mut drain) => return,
                    }
                }
                listener::serve(socket, settings, api, drain).await;
            });
        }
        if let Some(socket) = self.http {
            let health = Arc::new(Health::new(Arc::clone(broker)));
            tasks.spawn(crate::http::serve(socket, health, drain.clone()));
        }
    }
}

/// Resolves when the broker was in service once.
async fn in_service(mut standing: watch::Receiver<Standing>) {
    let has_begun = |standing: &Standing| !matches!(standing, Standing::Starting | Standing::Fenced);
    // The sender lives as long as the broker, so the wait cannot fail.
    let _ = standing.wait_for(has_begun).await;
}

/// The listener between brokers: the inter-broker one if clients have another, else the controllers'. A broker
/// with a single listener has no private one and can only be alone.
fn private_listener(config: &BrokerConfig) -> Option<&Listener> {
    let is_controller = |listener: &Listener| config.controller_listener_names.contains(&listener.name);
    let inter_broker = &config.inter_broker_listener_name;
    let for_clients = config
        .listeners
        .iter()
        .filter(|listener| listener.name != *inter_broker && !is_controller(listener))
        .count();
    if for_clients > 0 {
        return config.listeners.iter().find(|listener| listener.name == *inter_broker);
    }
    config.listeners.iter().find(|listener| is_controller(listener) && listener.name != *inter_broker)
}

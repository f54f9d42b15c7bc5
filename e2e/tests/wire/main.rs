//! Unmodified clients and tools against clusters of local processes. One module a claim's area, named `wire_*`.

mod clients;
mod differences;
mod turns;
mod wire_addresses;
mod wire_approval;
mod wire_controller;
mod wire_differences;
mod wire_directories;
mod wire_disk;
mod wire_failover;
mod wire_flights;
mod wire_hostile;
mod wire_local;
mod wire_many_partitions;
mod wire_network;
mod wire_plan;
mod wire_rack;
mod wire_restart;
mod wire_scale;
mod wire_scale_shares;
mod wire_settings;
mod wire_stall;
mod wire_tools;
mod wire_two_releases;
mod wire_versions;

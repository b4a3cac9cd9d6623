//! How much one client may do, and who is one client: the options.

use super::units;
use clap::Args;
use switchboard::{Builder, Network, Quotas, Rate};

#[derive(Args)]
#[command(next_help_heading = "How much one client may do")]
pub(crate) struct Shares {
    /// Connections at once from one address (of IPv6: from one /64) [default: any number]
    #[arg(long, value_name = "N", value_parser = units::count, env = "SWITCHBOARD_PER_ADDRESS")]
    per_address: Option<usize>,
    /// WebSockets at once of one user, as tokens name them [default: any number]
    #[arg(long, value_name = "N", value_parser = units::count, env = "SWITCHBOARD_PER_USER")]
    per_user: Option<usize>,
    /// New connections from one address, as 20/s, 100/60s, or 20/s:100 with a burst [default: any number]
    #[arg(long, value_name = "RATE", env = "SWITCHBOARD_CONNECT_RATE")]
    connect_rate: Option<Rate>,
    /// Messages and pings of one connection, as 100/60s; more close it with 1008 [default: any number]
    #[arg(long, value_name = "RATE", env = "SWITCHBOARD_RATE")]
    rate: Option<Rate>,
    /// Bytes from one connection, as 64K/s or 64K/s:1M; more close it with 1008 [default: any number]
    #[arg(long, value_name = "RATE", value_parser = units::byte_rate, env = "SWITCHBOARD_BYTE_RATE")]
    byte_rate: Option<Rate>,
    /// Rooms that one connection is in at once
    #[arg(long, value_name = "N", default_value_t = Quotas::default().rooms, value_parser = units::count, env = "SWITCHBOARD_ROOMS")]
    rooms: usize,
    /// A proxy whose word is taken for a client's address (X-Forwarded-For), as 10.0.0.7 or 10.0.0.0/8; repeatable
    #[arg(long, value_name = "NETWORK", env = "SWITCHBOARD_TRUST_PROXY", value_delimiter = ',')]
    trust_proxy: Vec<Network>,
    /// The proxies begin each connection with a header of the PROXY protocol, version 2
    #[arg(long, requires = "trust_proxy", env = "SWITCHBOARD_PROXY_PROTOCOL")]
    proxy_protocol: bool,
}

impl Shares {
    /// For [`switchboard::Handle::set_quotas`] too.
    pub(crate) fn quotas(&self) -> Quotas {
        Quotas {
            per_address: self.per_address,
            per_user: self.per_user,
            connects: self.connect_rate,
            messages: self.rate,
            bytes: self.byte_rate,
            rooms: self.rooms,
        }
    }

    pub(crate) fn apply(&self, builder: Builder) -> Builder {
        let proxies = self.trust_proxy.iter().copied();
        builder.quotas(self.quotas()).trust_proxies(proxies).proxy_protocol(self.proxy_protocol)
    }
}

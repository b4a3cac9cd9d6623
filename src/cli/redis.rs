//! Several servers as one: the options about Redis.

use clap::Args;
use switchboard::engine::Redis;
use switchboard::{Builder, Error, Result};

#[derive(Args)]
#[command(next_help_heading = "Several servers as one")]
pub(crate) struct Shared {
    /// A Redis through which servers have the same rooms and users: redis://:PASSWORD@HOST:PORT, or rediss:// for TLS.
    /// Repeatable: rooms are spread over all of them, which every server must name in the same order. Others can see a command
    /// line: rather put a password into the environment
    #[arg(
        long,
        value_name = "URL",
        conflicts_with = "store",
        env = "SWITCHBOARD_REDIS",
        hide_env_values = true,
        value_delimiter = ','
    )]
    redis: Vec<String>,
    /// What its keys and channels begin with; servers with different ones know nothing of each other
    #[arg(long, value_name = "TEXT", default_value = "sb:", env = "SWITCHBOARD_REDIS_PREFIX")]
    redis_prefix: String,
}

impl Shared {
    pub(crate) fn apply(&self, builder: Builder) -> Result<Builder> {
        Ok(match self.engine()? {
            Some(redis) => builder.engine(redis),
            None => builder,
        })
    }

    /// `None`: this server is alone.
    pub(crate) fn engine(&self) -> Result<Option<Redis>> {
        let named = |flag: &'static str| move |error: Error| Error::Config(format!("--{flag}: {error}"));
        let Some((first, others)) = self.redis.split_first() else { return Ok(None) };
        let redis =
            others.iter().try_fold(Redis::open(first).map_err(named("redis"))?, |redis, url| redis.and(url));
        let redis = redis.map_err(named("redis"))?;
        redis.prefix(&self.redis_prefix).map_err(named("redis-prefix")).map(Some)
    }
}

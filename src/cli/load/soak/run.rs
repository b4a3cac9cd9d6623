//! A soak from outside: starts servers and threads, looks at them, leads from phase to phase.

use super::super::poller::Poller;
use super::super::pool::Pool;
use super::super::target::resolve;
use super::crew::{Crew, connections};
use super::ledger::{Ledger, Phase};
use super::options::Soak;
use super::process::{Server, Usage};
use super::redis::Redis;
use super::report::{Ending, Minutes, Report};
use super::verdict::{FEW, Sample};
use std::net::SocketAddr;
use std::sync::Arc;
use std::thread::{self, ScopedJoinHandle};
use std::time::{Duration, Instant};
use std::{io, iter};
use switchboard::sansio::Endpoint;
use switchboard::{Client, Error, Limits, Result};

/// How often servers are looked at.
const SAMPLE: Duration = Duration::from_secs(5);
const LOOK: Duration = Duration::from_millis(50);
const MINUTE: Duration = Duration::from_secs(60);
/// How often Redis is killed: not in the minutes that are compared, if the run is long enough for that.
const REDIS: u32 = 5;
/// Closing, with the answers to our Close frames.
const CLOSING: Duration = Duration::from_secs(10);
/// How long servers may take to be as they were, when all have gone; and to end.
const AFTERWARDS: Duration = Duration::from_secs(60);
const ENDING: Duration = Duration::from_secs(30);
/// A client that pings nobody: the server does.
const NEVER: Duration = Duration::from_secs(48 * 60 * 60);

type Driver<'a> = ScopedJoinHandle<'a, io::Result<()>>;

/// What runs beside the threads.
struct Stage {
    servers: Vec<Server>,
    redis: Option<Redis>,
    /// What servers used before anybody came.
    empty: Vec<Usage>,
    samples: Vec<Sample>,
    minutes: Minutes,
}

/// Blocks until the run is over; [`Ledger::interrupt`] ends it early.
pub(super) fn run(ledger: &Ledger, options: &Soak) -> Result<Report> {
    let redis = options.redis_server.as_deref().map(Redis::start).transpose()?;
    let mut servers = Vec::new();
    if options.urls.is_empty() {
        let mut serve = options.serve.clone();
        serve.extend(redis.iter().flat_map(|redis| ["--redis".into(), redis.url()]));
        for _ in 0..ledger.plan.servers {
            servers.push(Server::start(&serve)?);
        }
    }
    let own = servers.iter().map(|server| format!("ws://{}", server.address));
    let urls: Vec<String> = own.chain(options.urls.iter().cloned()).collect();
    let mut ways = Vec::new();
    for (thread, url) in urls.iter().enumerate() {
        ways.push(way(ledger, thread, url.trim_end_matches('/'), options.allow_remote)?);
    }
    let empty = usages(&servers)?;
    let minutes = Minutes::new(options.json);
    let mut stage = Stage { servers, redis, empty, samples: Vec::new(), minutes };
    let began = Instant::now();
    thread::scope(|scope| {
        let drivers = ways.into_iter().enumerate().map(|(thread, way)| {
            let life = move || {
                let (address, endpoints) = way;
                let pool = Pool::new(Poller::new()?, endpoints.len(), Arc::new(endpoints), address);
                Crew::new(ledger, thread).run(pool)
            };
            thread::Builder::new().name(format!("soak-{thread}")).spawn_scoped(scope, life)
        });
        let drivers = drivers.collect::<io::Result<Vec<_>>>();
        let led = drivers.map_err(Error::from).and_then(|drivers| {
            let led = stage.lead(ledger, &drivers, began);
            ledger.enter(Phase::Over);
            for driver in drivers {
                driver.join().map_err(|_| Error::other("a thread of the soak panicked"))??;
            }
            led
        });
        ledger.enter(Phase::Over);
        led
    })?;
    let ran = stage.samples.last().map_or(Duration::ZERO, |sample| sample.at);
    let ending = stage.end()?;
    let Stage { servers, redis, empty, samples, .. } = stage;
    let restarts = redis.as_ref().map(|redis| redis.restarts);
    let logs = servers.iter().map(Server::log).collect();
    Ok(Report::new(ledger, ran, &empty, samples, ending, logs, restarts))
}

/// Where a thread's connections go, and what each asks for.
fn way(ledger: &Ledger, thread: usize, url: &str, allow_remote: bool) -> Result<(SocketAddr, Vec<Endpoint>)> {
    let limits = Limits { ping_interval: NEVER, ..Limits::default() };
    let builder = Client::builder().limits(limits).compression(false);
    let plan = &ledger.plan;
    let endpoint = |connection| builder.endpoint(&format!("{url}{}", plan.path(connection, ledger.run)));
    let endpoints = connections(plan, thread).map(endpoint).collect::<Result<Vec<_>>>()?;
    let Some(first) = endpoints.first() else {
        return Err(Error::Config("more servers than connections".into()));
    };
    Ok((resolve(first.host(), first.port(), allow_remote)?, endpoints))
}

fn usages(servers: &[Server]) -> Result<Vec<Usage>> {
    let usage = |server: &Server| {
        server.usage().ok_or_else(|| {
            let errors: String = server.log().errors.iter().map(|error| format!("\n{error}")).collect();
            let reason = if errors.is_empty() { "; its log has no error: was it killed?" } else { ":" };
            Error::other(format!("the server at {} has ended by itself{reason}{errors}", server.address))
        })
    };
    servers.iter().map(usage).collect()
}

impl Stage {
    /// Through all phases. Each has its deadline.
    fn lead(&mut self, ledger: &Ledger, drivers: &[Driver<'_>], began: Instant) -> Result<()> {
        let plan = &ledger.plan;
        let (mut next_sample, mut next_minute) = (began, began + MINUTE);
        let mut kills = self.kills(plan.time).map(|after| began + after).peekable();
        while began.elapsed() < plan.time && !ledger.is_interrupted() {
            alive(drivers)?;
            let now = Instant::now();
            if next_sample <= now {
                self.samples.push(Sample { at: now - began, usages: usages(&self.servers)? });
                next_sample += SAMPLE;
            }
            if next_minute <= now {
                self.tell(ledger);
                next_minute += MINUTE;
            }
            if kills.next_if(|at| *at <= now).is_some()
                && let Some(redis) = &mut self.redis
            {
                redis.restart()?;
            }
            let end = began + plan.time;
            let next = next_sample.min(next_minute).min(end).saturating_duration_since(now);
            thread::sleep(next.min(4 * LOOK));
        }
        self.samples.push(Sample { at: began.elapsed(), usages: usages(&self.servers)? });
        self.tell(ledger);
        ledger.enter(Phase::Settling);
        wait(drivers, plan.patience, || ledger.is_quiet())?;
        // Now nothing more will be acknowledged; who was told that nothing is missing looks once more.
        ledger.enter(Phase::Settling);
        wait(drivers, plan.patience, || ledger.is_quiet())?;
        ledger.enter(Phase::Closing);
        wait(drivers, CLOSING, || ledger.is_quiet())
    }

    fn tell(&mut self, ledger: &Ledger) {
        if let Some(sample) = self.samples.last() {
            self.minutes.tell(ledger, sample);
        }
    }

    /// When Redis is killed, since the beginning.
    fn kills(&self, time: Duration) -> impl Iterator<Item = Duration> + use<> {
        let times = if self.redis.is_some() { REDIS - 1 } else { 0 };
        // Between the windows that are compared: at 5/10, 6/10, 7/10 and 8/10.
        (0..times).map(move |n| time * (REDIS + n) / (2 * REDIS))
    }

    /// All have gone: what is left, and how the servers end.
    fn end(&mut self) -> Result<Ending> {
        let is_empty = |usages: &[Usage], empty: &[Usage]| {
            let is_few = |(now, before): (&Usage, &Usage)| {
                now.threads <= before.threads + FEW && now.descriptors <= before.descriptors + FEW
            };
            iter::zip(usages, empty).all(is_few)
        };
        let deadline = Instant::now() + AFTERWARDS;
        let mut left = usages(&self.servers)?;
        while !is_empty(&left, &self.empty) && Instant::now() < deadline {
            thread::sleep(LOOK);
            left = usages(&self.servers)?;
        }
        let statuses = self.servers.iter_mut().map(|server| server.stop(ENDING));
        Ok(Ending { left, statuses: statuses.collect::<io::Result<_>>()? })
    }
}

/// Who has ended before it was told to has failed, or panicked.
fn alive(drivers: &[Driver<'_>]) -> Result<()> {
    if drivers.iter().any(ScopedJoinHandle::is_finished) {
        return Err(Error::other("a thread of the soak has ended; what it said is above"));
    }
    Ok(())
}

fn wait(drivers: &[Driver<'_>], time: Duration, is_so: impl Fn() -> bool) -> Result<()> {
    let deadline = Instant::now() + time;
    while !is_so() && Instant::now() < deadline {
        alive(drivers)?;
        thread::sleep(LOOK);
    }
    Ok(())
}

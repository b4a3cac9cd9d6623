//! Thirty-two publishers and a subscriber on several servers that share a Redis, while something fails. Whatever it is: what
//! is acknowledged is not lost, comes once and in order, and no offset of an epoch has two meanings.

use crate::redis::{is_ready, server};
use crate::support::{PATIENCE, Program, eventually, get};
use crate::support_proxy::{Proxy, Weather};
use crate::support_redis::Redis;
use rustix::process::Signal;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Condvar, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};
use switchboard::Client;

const PUBLISHERS: usize = 32;

/// Acknowledged messages that the subscriber may be behind: publishers wait for it.
const AHEAD: usize = 1000;

/// Servers that keep more than is said in a test.
const KEEP: [&str; 6] = ["--history", "1000000", "--history-bytes", "100M", "--history-total", "1G"];

/// A message's place and what it says.
type Place = (String, u64);

#[derive(Default)]
struct Record {
    acked: Vec<(Place, u64)>,
    /// By epoch and offset.
    seen: HashMap<String, BTreeMap<u64, u64>>,
    data: BTreeSet<u64>,
}

struct Storm {
    record: Mutex<Record>,
    moved: Condvar,
    stop: AtomicBool,
    unavailable: AtomicUsize,
    joined: AtomicUsize,
}

/// Publishers and a subscriber at work.
struct Work {
    storm: Arc<Storm>,
    threads: Vec<JoinHandle<()>>,
    subscriber: JoinHandle<()>,
}

impl Work {
    /// Clients try those servers in turn.
    fn begin(publish_at: &[SocketAddr], subscribe_at: &[SocketAddr]) -> Self {
        let storm = Arc::new(Storm {
            record: Mutex::default(),
            moved: Condvar::new(),
            stop: AtomicBool::new(false),
            unavailable: AtomicUsize::new(0),
            joined: AtomicUsize::new(0),
        });
        let (shared, at) = (storm.clone(), subscribe_at.to_vec());
        let subscriber = thread::spawn(move || shared.subscribe(&at));
        let storm_joined = storm.clone();
        eventually("the subscriber has joined", || storm_joined.joined.load(SeqCst) == 1);
        let threads = (0..PUBLISHERS).map(|number| {
            let (storm, at) = (storm.clone(), publish_at.to_vec());
            thread::spawn(move || storm.publish(number, &at))
        });
        Self { threads: threads.collect(), storm, subscriber }
    }

    /// Until so many more have been acknowledged and seen.
    #[track_caller]
    fn wait_seen(&self, more: usize) {
        let record = self.storm.record.lock().unwrap();
        let (acked, seen) = (record.acked.len() + more, record.data.len() + more);
        let wait = |record: &mut Record| record.acked.len() < acked || record.data.len() < seen;
        let (record, timeout) = self.storm.moved.wait_timeout_while(record, PATIENCE, wait).unwrap();
        assert!(!timeout.timed_out(), "{} acknowledged, {} seen", record.acked.len(), record.data.len());
    }

    /// Waits until all that was acknowledged is seen, and looks whether all of it is right.
    #[track_caller]
    fn end(self, may_lose: bool) -> Arc<Storm> {
        self.storm.stop.store(true, SeqCst);
        self.storm.moved.notify_all();
        self.threads.into_iter().for_each(|thread| thread.join().unwrap());
        let record = self.storm.record.lock().unwrap();
        let unseen =
            |record: &Record| record.acked.iter().filter(|(_, data)| !record.data.contains(data)).count();
        let wait = |record: &mut Record| !may_lose && 0 < unseen(record);
        let (record, _) = self.storm.moved.wait_timeout_while(record, PATIENCE, wait).unwrap();
        if !may_lose {
            assert_eq!(unseen(&record), 0, "of {} acknowledged messages", record.acked.len());
        }
        for ((epoch, offset), data) in &record.acked {
            let seen = record.seen.get(epoch).and_then(|messages| messages.get(offset));
            assert!(
                seen.is_none_or(|seen| seen == data),
                "{data} was acknowledged at {offset}, where {seen:?} is"
            );
        }
        // Each message once in each epoch, also when it was sent twice.
        for (epoch, messages) in &record.seen {
            let distinct: BTreeSet<&u64> = messages.values().collect();
            assert_eq!(distinct.len(), messages.len(), "epoch {epoch}");
        }
        drop(record);
        assert!(!self.subscriber.is_finished(), "the subscriber has failed");
        self.storm
    }
}

impl Storm {
    fn publish(&self, number: usize, at: &[SocketAddr]) {
        let (mut line, mut tries) = (None, number);
        for count in 0.. {
            let record = self.record.lock().unwrap();
            let is_ahead = |record: &mut Record| {
                !self.stop.load(SeqCst) && record.data.len() + AHEAD < record.acked.len()
            };
            drop(self.moved.wait_timeout_while(record, PATIENCE, is_ahead).unwrap());
            if self.stop.load(SeqCst) {
                return;
            }
            let data = (number * 1_000_000 + count) as u64;
            let place = loop {
                if let Some(place) = say(&mut line, data) {
                    break place;
                }
                self.unavailable.fetch_add(1, SeqCst);
                // As clients do: a little later, and elsewhere if need be.
                thread::sleep(Duration::from_millis(20));
                if line.is_none() {
                    tries += 1;
                    line = connect(at[tries % at.len()], &format!("p{number}"));
                }
            };
            self.record.lock().unwrap().acked.push((place, data));
            self.moved.notify_all();
        }
    }

    fn subscribe(&self, at: &[SocketAddr]) {
        let (mut last, mut tries): (Option<Place>, usize) = (None, 0);
        loop {
            let mut line = connect(at[tries % at.len()], "subscriber");
            tries += 1;
            while let Some(client) = &mut line {
                if self.follow(client, &mut last).is_none() {
                    line = None;
                }
            }
            thread::sleep(Duration::from_millis(20));
        }
    }

    /// Joins, and follows what is said until there is a gap; `None`: the connection has ended.
    fn follow(&self, client: &mut Client, last: &mut Option<Place>) -> Option<()> {
        let since = last.as_ref().map(|(epoch, offset)| json!({"epoch": epoch, "offset": offset}));
        let since = since.map_or(json!({}), |since| json!({"since": since}));
        let mut join = json!({"type": "join", "room": "storm", "id": "j"});
        join.as_object_mut().unwrap().extend(since.as_object().unwrap().clone());
        client.send(join.to_string()).ok()?;
        let joined = loop {
            let text = next(client)?;
            if text["id"] == "j" {
                break text;
            }
        };
        if joined["code"] == "unavailable" {
            thread::sleep(Duration::from_millis(20));
            return Some(());
        }
        let epoch = joined["epoch"].as_str().unwrap_or_else(|| panic!("{joined}")).to_string();
        let messages = joined["messages"].as_array().unwrap();
        let before = match joined["recovered"] == true {
            true => last.as_ref().unwrap().1,
            false => joined["offset"].as_u64().unwrap() - messages.len() as u64,
        };
        let mut offset = before;
        for message in messages {
            offset = self.see(&epoch, offset, message);
        }
        assert_eq!(offset, joined["offset"].as_u64().unwrap(), "the answer ends where it says");
        *last = Some((epoch.clone(), offset));
        self.joined.fetch_add(1, SeqCst);
        loop {
            let text = next(client)?;
            if text["type"] == "gap" || (text["type"] == "message" && text["epoch"] != epoch) {
                return Some(());
            }
            if text["type"] == "message" {
                offset = self.see(&epoch, offset, &text);
                *last = Some((epoch.clone(), offset));
            }
        }
    }

    /// A message comes after the one with that offset.
    fn see(&self, epoch: &str, before: u64, message: &Value) -> u64 {
        let (offset, data) = (message["offset"].as_u64().unwrap(), message["data"].as_u64().unwrap());
        assert_eq!(offset, before + 1, "in order, and without a hole");
        let mut record = self.record.lock().unwrap();
        let seen = *record.seen.entry(epoch.into()).or_default().entry(offset).or_insert(data);
        assert_eq!(seen, data, "{epoch} {offset} has two meanings");
        record.data.insert(data);
        drop(record);
        self.moved.notify_all();
        offset
    }
}

fn connect(address: SocketAddr, user: &str) -> Option<Client> {
    let mut client = Client::connect(&format!("ws://{address}/ws?user={user}")).ok()?;
    next(&mut client).filter(|text| text["type"] == "welcome").map(|_| client)
}

/// `None`: the connection has ended.
fn next(client: &mut Client) -> Option<Value> {
    let message = client.recv_timeout(2 * PATIENCE).ok()??;
    Some(serde_json::from_str(message.to_text().unwrap()).unwrap())
}

/// Where it is once it is acknowledged; `None`: it is not known to be kept.
fn say(line: &mut Option<Client>, data: u64) -> Option<Place> {
    let client = line.as_mut()?;
    let publish =
        json!({"type": "publish", "room": "storm", "data": data, "key": data.to_string(), "id": data});
    let reply = match client.send(publish.to_string()) {
        Ok(()) => next(client),
        Err(_) => None,
    };
    let Some(reply) = reply else {
        *line = None;
        return None;
    };
    assert_eq!(reply["id"], data, "{reply}");
    if reply["type"] == "published" {
        return Some((reply["epoch"].as_str().unwrap().into(), reply["offset"].as_u64().unwrap()));
    }
    assert_eq!(reply["code"], "unavailable", "{reply}");
    None
}

fn servers<const N: usize>(url: &str) -> [Program; N] {
    [(); N].map(|()| server(url, &KEEP))
}

fn wait_deaf(servers: &[&Program], within: Duration) {
    let began = Instant::now();
    servers.iter().for_each(|server| eventually("it is not ready", || !is_ready(server)));
    assert!(began.elapsed() < within, "{:?}", began.elapsed());
}

fn wait_ready(servers: &[&Program]) {
    let began = Instant::now();
    servers.iter().for_each(|server| eventually("it is ready again", || is_ready(server)));
    assert!(began.elapsed() < Duration::from_secs(25), "{:?}", began.elapsed());
}

#[test]
#[ignore = "needs a Redis server: tests/run"]
fn a_subscriber_goes_on_at_another_server_when_its_own_is_killed() {
    let redis = Redis::start(&[]);
    let [a, b, c] = servers(&redis.url());
    let work = Work::begin(&[a.address, b.address], &[b.address, c.address]);
    work.wait_seen(500);
    b.signal(Signal::KILL);
    work.wait_seen(500);
    let storm = work.end(false);
    assert_eq!(storm.joined.load(SeqCst), 2);
    assert_eq!(storm.record.lock().unwrap().seen.len(), 1, "one epoch");
}

#[test]
#[ignore = "needs a Redis server: tests/run"]
fn a_redis_that_freezes_loses_nothing() {
    let redis = Redis::start(&[]);
    let [a, b] = servers(&redis.url());
    let work = Work::begin(&[a.address, b.address], &[b.address]);
    work.wait_seen(500);
    redis.freeze();
    wait_deaf(&[&a, &b], Duration::from_secs(15));
    redis.thaw();
    wait_ready(&[&a, &b]);
    work.wait_seen(500);
    let storm = work.end(false);
    assert!(0 < storm.unavailable.load(SeqCst));
    assert_eq!(storm.record.lock().unwrap().seen.len(), 1, "one epoch");
}

#[test]
#[ignore = "needs a Redis server: tests/run"]
fn a_redis_that_writes_everything_to_disk_loses_nothing_when_it_is_killed() {
    let mut redis = Redis::start(&["--appendonly", "yes", "--appendfsync", "always"]);
    let [a, b] = servers(&redis.url());
    let work = Work::begin(&[a.address, b.address], &[b.address]);
    for _ in 0..2 {
        work.wait_seen(500);
        redis.kill();
        wait_deaf(&[&a, &b], Duration::from_secs(15));
        redis.revive();
        wait_ready(&[&a, &b]);
    }
    work.wait_seen(500);
    let storm = work.end(false);
    assert_eq!(storm.record.lock().unwrap().seen.len(), 1, "one epoch: nothing can have been lost");
}

#[test]
#[ignore = "needs a Redis server: tests/run"]
fn a_redis_that_forgets_everything_begins_new_epochs() {
    let mut redis = Redis::start(&[]);
    let [a, b] = servers(&redis.url());
    let work = Work::begin(&[a.address, b.address], &[b.address]);
    work.wait_seen(500);
    redis.kill();
    redis.revive();
    wait_ready(&[&a, &b]);
    work.wait_seen(500);
    assert_eq!(redis.ask("FLUSHALL"), "+OK");
    work.wait_seen(500);
    let storm = work.end(true);
    assert!(3 <= storm.record.lock().unwrap().seen.len());
}

#[test]
#[ignore = "needs a Redis server: tests/run"]
fn connections_that_are_cut_lose_nothing() {
    let redis = Redis::start(&[]);
    let [a, b] = servers(&redis.url());
    let work = Work::begin(&[a.address, b.address], &[b.address]);
    for _ in 0..10 {
        for name in ["switchboard-publisher", "switchboard-subscriber", "switchboard-asking"] {
            work.wait_seen(50);
            redis.cut(name);
        }
    }
    work.wait_seen(500);
    let storm = work.end(false);
    assert_eq!(storm.record.lock().unwrap().seen.len(), 1, "one epoch");
}

#[test]
#[ignore = "needs a Redis server: tests/run"]
fn a_bad_network_loses_nothing() {
    let redis = Redis::start(&[]);
    let proxies = [(); 2].map(|()| Proxy::start(redis.address()));
    let [a, b] = [0, 1].map(|n: usize| server(&format!("redis://{}", proxies[n].address), &KEEP));
    let work = Work::begin(&[a.address, b.address], &[b.address]);
    work.wait_seen(500);
    for proxy in &proxies {
        proxy.set(Weather::Slow(Duration::from_millis(20)));
        work.wait_seen(200);
        proxy.set(Weather::Fine);
        for _ in 0..5 {
            proxy.cut_in_the_middle();
            work.wait_seen(100);
            proxy.cut();
            work.wait_seen(100);
        }
    }
    // The subscriber's server hears nothing any more, and is not told so.
    proxies[1].set(Weather::Hole);
    let swallowed = Instant::now();
    // What was cut before may be told for a moment.
    eventually("it says why", || get(b.address, "/readyz").text().contains("does not answer"));
    assert!(swallowed.elapsed() < Duration::from_secs(15), "{:?}", swallowed.elapsed());
    assert!(is_ready(&a), "the other notices nothing");
    proxies[1].set(Weather::Fine);
    wait_ready(&[&b]);
    work.wait_seen(500);
    let storm = work.end(false);
    assert_eq!(storm.record.lock().unwrap().seen.len(), 1, "one epoch");
}

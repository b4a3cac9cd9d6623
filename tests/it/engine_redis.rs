//! What only an engine with a Redis can be asked: what it makes of a Redis that forgets, goes back or is somebody else's.

use crate::engines::{Server, World, say, with_key};
use crate::support::{PATIENCE, eventually};
use crate::support_redis::Redis as RedisServer;
use std::time::{Duration, Instant};
use switchboard::Error;
use switchboard::engine::{Engine, Name, Notice, Order, Redis, RoomRules};

struct Named(String, &'static str);

impl World for Named {
    fn engine(&self) -> Box<dyn Engine> {
        Box::new(Redis::open(&self.0).unwrap().prefix(self.1).unwrap())
    }
}

#[track_caller]
fn hearing(server: &mut Server) {
    server.wait("that Redis can be reached again", |notice| (*notice == Notice::Hearing).then_some(()));
}

/// The next state of a room.
#[track_caller]
fn state(server: &mut Server, room: &str) -> (Name, u64, Vec<u64>) {
    server.wait("a state", |notice| match notice {
        Notice::State { room: at, epoch, offset, messages, .. } if **at == *room => {
            let offsets = messages.iter().map(|message| message.offset).collect();
            Some((epoch.clone(), *offset, offsets))
        }
        _ => None,
    })
}

#[test]
#[ignore = "needs a Redis server: tests/run"]
fn a_list_has_the_rooms_of_its_prefix_however_many_keys_there_are() {
    let redis = RedisServer::start(&[]);
    let mut stars = Server::start(&Named(redis.url(), "a*[b]:"), "stars");
    let mut plain = Server::start(&Named(redis.url(), "ax[b]:"), "plain");
    plain.publish(say("other", "1"));
    // Keys of others, more than are looked at together.
    let keys: String = (0..5000).map(|n| format!(" a*[b]:{{{n}}}:tail 1 {{{n}}}:head 1")).collect();
    assert_eq!(redis.ask(&format!("MSET{keys}")), "+OK");
    assert_eq!(stars.engine.rooms("", 10).unwrap(), []);
    let tickets: Vec<_> = (0..1200).map(|n| stars.ask_publish(say(&format!("r{n:04}"), "1"))).collect();
    tickets.into_iter().for_each(|ticket| assert_eq!(stars.published(ticket).unwrap().offset, 1));
    let names = |after: &str, most: usize| -> Vec<String> {
        let listed = stars.engine.rooms(after, most).unwrap();
        listed.into_iter().map(|listed| listed.room.to_string()).collect()
    };
    let all: Vec<String> = (0..1200).map(|n| format!("r{n:04}")).collect();
    assert_eq!(names("", 2000), all);
    assert_eq!((names("", 7), names("r1190", 7)), (all[..7].to_vec(), all[1191..1198].to_vec()));
    assert_eq!(plain.engine.rooms("", 10).unwrap().len(), 1);
    redis.freeze();
    let error = stars.engine.rooms("", 10).unwrap_err();
    assert!(matches!(&error, Error::Unavailable(why) if why.contains("does not answer")), "{error}");
    redis.thaw();
}

#[test]
#[ignore = "needs a Redis server: tests/run"]
fn a_history_that_has_gone_back_gets_a_new_epoch() {
    let redis = RedisServer::start(&[]);
    let (mut east, mut west) = (Server::start(&redis, "east"), Server::start(&redis, "west"));
    let epoch = east.open("tea").0;
    let back = || {
        for key in ["head", "messages"] {
            assert_eq!(redis.ask(&format!("COPY {key} sb:{{tea}}:{key} REPLACE")), ":1");
        }
    };
    east.publish(with_key(say("tea", "1"), "one"));
    east.publish(say("tea", "2"));
    for key in ["head", "messages"] {
        assert_eq!(redis.ask(&format!("COPY sb:{{tea}}:{key} {key}")), ":1");
    }
    assert_eq!(east.publish(say("tea", "3")).offset, 3);
    (1..=3).for_each(|offset| assert_eq!(east.message("tea").1.offset, offset));
    // Redis has lost the third, and east, which has told it, asks.
    back();
    let (second, offset, messages, _) = east.open("tea");
    assert_ne!(second, epoch);
    let offsets: Vec<u64> = messages.iter().map(|message| message.offset).collect();
    assert_eq!((offset, offsets), (2, vec![1, 2]), "what is there stays");
    let again = west.publish(with_key(say("tea", "1"), "one"));
    assert_eq!((&again.epoch, again.offset), (&second, 1), "so do keys");

    // West, which knows nothing of it, says something else in its place.
    assert_eq!(east.publish(say("tea", "3")).offset, 3);
    east.message("tea");
    for key in ["head", "messages"] {
        redis.ask(&format!("DEL {key}"));
        assert_eq!(redis.ask(&format!("COPY sb:{{tea}}:{key} {key}")), ":1");
    }
    assert_eq!(east.publish(say("tea", "4")).offset, 4);
    east.message("tea");
    back();
    assert_eq!(west.publish(say("tea", "\"other\"")).offset, 4);
    let (third, offset, offsets) = state(&mut east, "tea");
    assert_ne!(third, second);
    assert_eq!((offset, offsets), (4, vec![1, 2, 3, 4]));
    east.settle(&mut west);
    assert!(
        east.all(|notice| matches!(notice, Notice::Message { .. })).is_empty(),
        "not with the epoch of another"
    );
}

/// The room goes on with what was kept, in a new epoch if something could have been lost.
fn restart(sync: &str, is_new: bool) {
    let mut redis = RedisServer::start(&["--appendonly", "yes", "--appendfsync", sync]);
    let mut east = Server::start(&redis, "east");
    let epoch = east.open("tea").0;
    east.publish(with_key(say("tea", "1"), "one"));
    east.publish(say("tea", "2"));
    redis.kill();
    east.wait("that Redis is away", |notice| matches!(notice, Notice::Deaf { .. }).then_some(()));
    redis.revive();
    // The first state was told for the opening.
    let (second, offset, offsets) = state(&mut east, "tea");
    assert_eq!((offset, offsets), (2, vec![1, 2]));
    assert_eq!(second != epoch, is_new);
    hearing(&mut east);
    let again = east.publish(with_key(say("tea", "1"), "one"));
    assert_eq!((again.epoch, again.offset), (second.clone(), 1));
    assert_eq!(east.publish(say("tea", "3")).offset, 3);
    // A room that nobody had open finds out when something is said in it, or it is opened.
    let mut west = Server::start(&redis, "west");
    assert_eq!(west.open("tea").0, second);
}

#[test]
#[ignore = "needs a Redis server: tests/run"]
fn after_a_restart_there_is_a_new_epoch_and_what_was_kept() {
    restart("everysec", true);
}

#[test]
#[ignore = "needs a Redis server: tests/run"]
fn a_redis_that_writes_everything_at_once_keeps_its_epochs_through_a_restart() {
    restart("always", false);
}

#[test]
#[ignore = "needs a Redis server: tests/run"]
fn who_makes_redis_forget_the_scripts_does_no_harm() {
    let redis = RedisServer::start(&[]);
    let mut east = Server::start(&redis, "east");
    east.open("tea");
    for offset in 1..=5 {
        assert_eq!(redis.ask("SCRIPT FLUSH"), "+OK");
        let tickets: Vec<_> = (0..10).map(|n| east.ask_publish(say("tea", &n.to_string()))).collect();
        for (ticket, expected) in tickets.into_iter().zip(10 * (offset - 1) + 1..) {
            assert_eq!(east.published(ticket).unwrap().offset, expected);
        }
        assert_eq!(east.open("tea").1, 10 * offset);
    }
    assert!(east.all(|notice| matches!(notice, Notice::Deaf { .. })).is_empty());
}

#[test]
#[ignore = "needs a Redis server: tests/run"]
fn prefixes_and_databases_are_apart() {
    let redis = RedisServer::start(&[]);
    let worlds = [Named(redis.url(), "sb:"), Named(redis.url(), "x:"), Named(redis.url() + "/3", "sb:")];
    let mut servers = worlds.map(|world| Server::start(&world, "node"));
    let epochs = servers.each_mut().map(|server| server.open("tea").0);
    for (n, server) in servers.iter_mut().enumerate() {
        server.here("tea", "ann", n + 1, false);
        assert_eq!(server.publish(say("tea", &n.to_string())).offset, 1);
    }
    for (server, epoch) in servers.iter_mut().zip(&epochs) {
        let (at, message) = server.message("tea");
        assert_eq!((&at, message.offset), (epoch, 1));
        assert!(server.open("tea").3.is_empty());
    }
    for server in &mut servers {
        assert!(server.all(|n| matches!(n, Notice::Message { .. } | Notice::Presence { .. })).is_empty());
    }
    assert!(Redis::open(&redis.url()).unwrap().prefix("a{b").is_err());
}

#[test]
#[ignore = "needs a Redis server: tests/run"]
fn opening_a_room_takes_no_time_of_waiting() {
    let redis = RedisServer::start(&[]);
    let mut east = Server::start(&redis, "east");
    let mut fastest = Duration::MAX;
    for n in 0..100 {
        let began = Instant::now();
        east.open(&format!("room {n}"));
        fastest = fastest.min(began.elapsed());
    }
    // It is some tenths of a millisecond; a machine that is busy with other tests is granted more.
    assert!(fastest < Duration::from_millis(20), "{fastest:?}");
}

#[test]
#[ignore = "needs a Redis server: tests/run"]
fn many_rooms_are_open_again_after_a_loss() {
    let redis = RedisServer::start(&[]);
    let (mut east, mut west) = (Server::start(&redis, "east"), Server::start(&redis, "west"));
    let rooms: Vec<String> = (0..1500).map(|n| format!("room {n}")).collect();
    let open = |room: &String| Order::Open { room: room.as_str().into(), rules: RoomRules::default() };
    east.engine.take(rooms.iter().map(open).collect());
    let states = |server: &mut Server| rooms.iter().for_each(|room| drop(state(server, room)));
    states(&mut east);
    assert_eq!(redis.cut("switchboard-subscriber"), 2);
    states(&mut east);
    for room in [&rooms[0], &rooms[1499]] {
        // It was cut as well, and may be away for a moment.
        eventually("west can publish", || {
            let ticket = west.ask_publish(with_key(say(room, "1"), "once"));
            west.published(ticket).is_ok()
        });
        assert_eq!(east.message(room).1.offset, 1);
    }
    assert!(east.all(|notice| matches!(notice, Notice::Deaf { .. })).len() <= 1);
}

#[test]
#[ignore = "needs a Redis server: tests/run"]
fn a_redis_that_takes_nothing_more_is_no_redis() {
    let redis = RedisServer::start(&[]);
    let mut east = Server::start(&redis, "east");
    east.open("tea");
    east.publish(say("tea", "1"));
    assert_eq!(redis.ask("CONFIG SET maxmemory 1"), "+OK");
    let ticket = east.ask_publish(say("tea", "2"));
    assert!(east.published(ticket).is_err());
    let why = east.wait("that Redis is of no use", |notice| match notice {
        Notice::Deaf { why } => Some(why.clone()),
        _ => None,
    });
    assert!(why.contains("has no more memory; raise its maxmemory"), "{why}");
    assert_eq!(redis.ask("CONFIG SET maxmemory 0"), "+OK");
    hearing(&mut east);
    assert_eq!(east.publish(say("tea", "3")).offset, 2, "nothing was kept, and nothing lost");

    // One that has become a replica.
    assert_eq!(redis.ask("REPLICAOF 127.0.0.1 1"), "+OK");
    let why = east.wait("that Redis is of no use", |notice| match notice {
        Notice::Deaf { why } if !why.contains("maxmemory") => Some(why.clone()),
        _ => None,
    });
    assert!(why.contains("is a replica"), "{why}");
    let ticket = east.ask_publish(say("tea", "4"));
    assert!(east.published(ticket).is_err());
    assert_eq!(redis.ask("REPLICAOF NO ONE"), "+OK");
    hearing(&mut east);
    assert_eq!(east.publish(say("tea", "5")).offset, 3);
}

#[test]
#[ignore = "needs a Redis server: tests/run"]
fn a_server_that_was_paused_is_known_again() {
    let redis = RedisServer::start(&[]);
    let (mut east, mut west) = (Server::start(&redis, "east"), Server::start(&redis, "west"));
    east.open("tea");
    west.open("tea");
    east.here("tea", "ann", 1, false);
    west.presence("tea");
    // As its own beat would have it after a pause of the process: Redis has forgotten it.
    for key in ["sb:servers", "sb:server:east:listeners", "sb:{tea}:at:east", "sb:{tea}:servers"] {
        assert_eq!(redis.ask(&format!("DEL {key}")), ":1", "{key}");
    }
    let deadline = Instant::now() + PATIENCE;
    let mut late = Server::start(&redis, "late");
    while late.open("tea").3.is_empty() {
        assert!(Instant::now() < deadline, "ann is not known again");
    }
    eventually("it is listed again", || redis.ask("ZSCORE sb:servers east").parse::<u64>().is_ok());
    assert!(west.all(|notice| matches!(notice, Notice::Gone { .. })).is_empty());
}

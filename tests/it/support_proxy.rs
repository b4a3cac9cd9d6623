//! A bad network between a program and a server: a TCP proxy that delays, splits, cuts and swallows.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::Duration;

/// What it does with what it gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Weather {
    Fine,
    /// Every piece comes in two, each late.
    Slow(Duration),
    /// Nothing comes through, and nobody is told.
    Hole,
}

pub(crate) struct Proxy {
    pub(crate) address: SocketAddr,
    state: Arc<State>,
}

struct State {
    weather: Mutex<(Weather, Vec<TcpStream>, usize)>,
    changed: Condvar,
}

impl Proxy {
    /// To a server at that address.
    pub(crate) fn start(to: String) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let state =
            Arc::new(State { weather: Mutex::new((Weather::Fine, Vec::new(), 0)), changed: Condvar::new() });
        let shared = state.clone();
        thread::spawn(move || {
            for near in listener.incoming() {
                let (Ok(near), Ok(far)) = (near, TcpStream::connect(&to)) else { continue };
                let mut state = shared.weather.lock().unwrap();
                state.1.extend([near.try_clone().unwrap(), far.try_clone().unwrap()]);
                drop(state);
                for (from, to) in [(near.try_clone().unwrap(), far.try_clone().unwrap()), (far, near)] {
                    from.set_nodelay(true).unwrap();
                    let shared = shared.clone();
                    thread::spawn(move || shared.pass_on(from, to));
                }
            }
        });
        Self { address, state }
    }

    pub(crate) fn set(&self, weather: Weather) {
        self.state.weather.lock().unwrap().0 = weather;
        self.state.changed.notify_all();
    }

    /// Ends the next piece of each connection in its middle, and with it the connection.
    pub(crate) fn cut_in_the_middle(&self) {
        self.state.weather.lock().unwrap().2 += 1;
    }

    /// Ends all connections.
    pub(crate) fn cut(&self) {
        for stream in self.state.weather.lock().unwrap().1.drain(..) {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }
}

impl State {
    fn pass_on(&self, mut from: TcpStream, mut to: TcpStream) {
        let mut buffer = [0; 16 * 1024];
        let cuts = self.weather.lock().unwrap().2;
        while let Ok(read @ 1..) = from.read(&mut buffer) {
            let mut state = self.weather.lock().unwrap();
            while state.0 == Weather::Hole {
                state = self.changed.wait(state).unwrap();
            }
            let (weather, is_cut) = (state.0, state.2 != cuts);
            drop(state);
            let (first, rest) = buffer[..read].split_at(read / 2);
            if let Weather::Slow(late) = weather {
                thread::sleep(late);
            }
            if to.write_all(first).is_err() || is_cut {
                break;
            }
            if let Weather::Slow(late) = weather {
                thread::sleep(late);
            }
            if to.write_all(rest).is_err() {
                break;
            }
        }
        let _ = from.shutdown(Shutdown::Both);
        let _ = to.shutdown(Shutdown::Both);
    }
}

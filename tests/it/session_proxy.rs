//! A bad network: a TCP proxy that cuts connections anywhere, within a frame too, or lets them die unseen.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;

pub(super) struct Proxy {
    pub(super) address: SocketAddr,
    network: Arc<Network>,
}

#[derive(Default)]
struct Network {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    /// Where the server is; without one connections are ended as soon as they are made.
    target: Option<SocketAddr>,
    /// Nothing gets through, and nobody is told.
    is_frozen: bool,
    /// Connections that are still to be cut, each after a random number of bytes; and those that were.
    cuts_left: usize,
    cuts: usize,
    seed: u64,
    /// Both ends of all connections that there are.
    open: Vec<[TcpStream; 2]>,
}

impl State {
    /// Numbers as random as it takes, the same in each run. (xorshift64)
    fn random(&mut self) -> u64 {
        self.seed ^= self.seed << 13;
        self.seed ^= self.seed >> 7;
        self.seed ^= self.seed << 17;
        self.seed
    }
}

impl Proxy {
    pub(super) fn start(target: Option<SocketAddr>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let network = Arc::new(Network::default());
        *network.state.lock().unwrap() = State { target, seed: 0x9e37_79b9_7f4a_7c15, ..State::default() };
        thread::spawn({
            let network = network.clone();
            move || listener.incoming().flatten().for_each(|client| network.carry(client))
        });
        Self { address, network }
    }

    pub(super) fn url(&self) -> String {
        format!("ws://{}/ws", self.address)
    }

    /// From now on the server is there, or nowhere.
    pub(super) fn set_target(&self, target: Option<SocketAddr>) {
        self.network.state.lock().unwrap().target = target;
    }

    /// Cuts so many connections, each somewhere between these bytes, counted in both directions.
    pub(super) fn cut_at_random(&self, times: usize) {
        self.network.state.lock().unwrap().cuts_left = times;
    }

    pub(super) fn cuts(&self) -> usize {
        self.network.state.lock().unwrap().cuts
    }

    /// Cuts all connections now.
    pub(super) fn cut(&self) {
        self.network.state.lock().unwrap().open.drain(..).for_each(cut);
    }

    /// Lets nothing through any more, or everything again.
    pub(super) fn freeze(&self, is_frozen: bool) {
        self.network.state.lock().unwrap().is_frozen = is_frozen;
        self.network.changed.notify_all();
    }
}

impl Network {
    fn carry(self: &Arc<Self>, client: TcpStream) {
        let mut state = self.state.lock().unwrap();
        let Some(Ok(server)) = state.target.map(TcpStream::connect) else { return };
        for end in [&client, &server] {
            end.set_nodelay(true).unwrap();
        }
        let lifetime = (0 < state.cuts_left).then(|| {
            state.cuts_left -= 1;
            200 + state.random() % 3000
        });
        let budget = Arc::new(Mutex::new(lifetime));
        let ends = || [client.try_clone().unwrap(), server.try_clone().unwrap()];
        state.open.push(ends());
        let [from_client, to_server] = ends();
        for (from, to) in [(from_client, to_server), (server, client)] {
            let (network, budget) = (self.clone(), budget.clone());
            thread::spawn(move || network.pump(from, to, &budget));
        }
    }

    /// Carries bytes one way, until either end is gone or the connection's time has come.
    fn pump(&self, mut from: TcpStream, mut to: TcpStream, budget: &Mutex<Option<u64>>) {
        let mut part = [0; 512];
        while let Ok(read @ 1..) = from.read(&mut part) {
            drop(self.changed.wait_while(self.state.lock().unwrap(), |state| state.is_frozen).unwrap());
            let mut budget = budget.lock().unwrap();
            let passed = budget.map_or(read, |left| read.min(left as usize));
            let _ = to.write_all(&part[..passed]);
            if let Some(left) = budget.as_mut() {
                if *left == 0 {
                    break;
                }
                *left -= passed as u64;
                if *left == 0 {
                    self.state.lock().unwrap().cuts += 1;
                    break;
                }
            }
        }
        cut([from, to]);
    }
}

fn cut(ends: [TcpStream; 2]) {
    for end in ends {
        let _ = end.shutdown(Shutdown::Both);
    }
}

//! What keys and channels are called. Pure.
//!
//! All keys of a room have the room's name in braces: Redis Cluster, and proxies that shard, keep such keys together.

use crate::engine::{Address, Name};

/// Names for one server.
#[derive(Clone, Debug)]
pub(super) struct Names {
    keys: String,
    /// Channels, unlike keys, are the same in all of Redis' numbered databases.
    channels: String,
    node: Name,
}

impl Names {
    pub(super) fn new(prefix: &str, database: i64, node: &str) -> Self {
        let channels = if database == 0 { prefix.into() } else { format!("{prefix}db{database}:") };
        Self { keys: prefix.into(), channels, node: node.into() }
    }

    pub(super) fn node(&self) -> &Name {
        &self.node
    }

    /// A room's epoch, offsets and keys.
    pub(super) fn head(&self, room: &str) -> String {
        format!("{}{{{room}}}:head", self.keys)
    }

    /// A pattern of Redis' for the heads of all rooms.
    pub(super) fn all_heads(&self) -> String {
        let mut pattern = String::new();
        for c in self.keys.chars() {
            if ['*', '?', '[', ']', '^', '\\'].contains(&c) {
                pattern.push('\\');
            }
            pattern.push(c);
        }
        pattern + "{*}:head"
    }

    /// The room whose head has this key.
    pub(super) fn room_of_head<'k>(&self, key: &'k str) -> Option<&'k str> {
        key.strip_prefix(&*self.keys)?.strip_prefix('{')?.strip_suffix("}:head")
    }

    pub(super) fn messages(&self, room: &str) -> String {
        format!("{}{{{room}}}:messages", self.keys)
    }

    /// The servers that have members in a room.
    pub(super) fn servers_in(&self, room: &str) -> String {
        format!("{}{{{room}}}:servers", self.keys)
    }

    /// With a server's name behind it: who is in the room there.
    pub(super) fn users_at(&self, room: &str) -> String {
        format!("{}{{{room}}}:at:", self.keys)
    }

    /// Who is in the room at this server.
    pub(super) fn users_here(&self, room: &str) -> String {
        self.users_at(room) + &self.node
    }

    /// All servers.
    pub(super) fn servers(&self) -> String {
        format!("{}servers", self.keys)
    }

    /// Key and channel of a server begin with this and its name.
    pub(super) fn server(&self) -> String {
        format!("{}server:", self.keys)
    }

    /// The users with connections at this server.
    pub(super) fn listeners(&self) -> String {
        self.server() + &self.node + LISTENERS
    }

    /// What happens in a room of `switchboard.v1`.
    pub(super) fn live(&self, room: &str) -> String {
        format!("{}{{{room}}}:live", self.channels)
    }

    /// Notes to the members of a plain room.
    pub(super) fn plain(&self, room: &str) -> String {
        format!("{}plain:{room}", self.channels)
    }

    /// Channels of single servers begin with this.
    pub(super) fn to_server(&self) -> String {
        format!("{}server:", self.channels)
    }

    /// Notes to this server.
    pub(super) fn to_me(&self) -> String {
        self.to_server() + &self.node
    }

    /// To all servers.
    pub(super) fn to_all(&self) -> String {
        format!("{}all", self.channels)
    }
}

/// What keys of [`Names::listeners`] end with.
pub(super) const LISTENERS: &str = ":listeners";

/// An address of single users as it is called among a server's listeners, and in notes.
pub(super) fn listener(to: &Address) -> Option<String> {
    match to {
        Address::User(name) => Some(format!("user:{name}")),
        Address::Nick(name) => Some(format!("nick:{name}")),
        Address::Room(_) | Address::Everyone => None,
    }
}

/// The same, read.
pub(super) fn read_listener(text: &str) -> Option<Address> {
    match text.split_once(':')? {
        ("user", name) => Some(Address::User(name.into())),
        ("nick", name) => Some(Address::Nick(name.into())),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rooms_are_in_braces_and_databases_apart() {
        let names = Names::new("sb:", 0, "n1");
        assert_eq!(names.head("tea"), "sb:{tea}:head");
        assert_eq!(names.users_here("tea"), "sb:{tea}:at:n1");
        assert_eq!((names.live("tea"), names.to_me()), ("sb:{tea}:live".into(), "sb:server:n1".into()));
        let names = Names::new("x-", 3, "n1");
        assert_eq!(
            (names.head("tea"), names.live("tea")),
            ("x-{tea}:head".into(), "x-db3:{tea}:live".into())
        );
    }

    #[test]
    fn rooms_are_known_by_their_heads() {
        let names = Names::new(r"a*[b]?\:", 0, "n1");
        assert_eq!(names.all_heads(), r"a\*\[b\]\?\\:{*}:head");
        for room in ["tea", "a}:head", "{x}", "*", "大"] {
            assert_eq!(names.room_of_head(&names.head(room)), Some(room));
            assert_eq!(names.room_of_head(&names.messages(room)), None);
            assert_eq!(names.room_of_head(&names.users_here(room)), None);
        }
        assert_eq!(names.room_of_head(&Names::new("a*", 0, "n1").head("tea")), None);
    }

    #[test]
    fn listeners_are_read_as_they_are_written() {
        for to in [Address::User("a:b".into()), Address::Nick("大".into())] {
            assert_eq!(read_listener(&listener(&to).unwrap()), Some(to));
        }
        assert_eq!(listener(&Address::Everyone), None);
        assert_eq!(read_listener("else:x"), None);
    }
}

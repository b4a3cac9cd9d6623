//! All examples that serve something, on one port, with an index page at `/gallery`.
//!
//! Run it: `cargo run --example gallery`, then open http://127.0.0.1:9527/gallery. With `--bind ADDR:PORT` it listens
//! elsewhere; `--interval SECONDS` is for what happens every 30 s otherwise: `/broadcast`, and the pings of `/heartbeat`.

#![allow(dead_code, unreachable_pub, reason = "each example is a program too; here only its `mount` is used")]
#![allow(clippy::duplicate_mod, reason = "each has a copy of what the programs share")]

mod common;

#[path = "auth.rs"]
mod auth;
#[path = "batch.rs"]
mod batch;
#[path = "binary.rs"]
mod binary;
#[path = "broadcast.rs"]
mod broadcast;
#[path = "callbacks.rs"]
mod callbacks;
#[path = "commands.rs"]
mod commands;
#[path = "cors.rs"]
mod cors;
#[path = "direct_chat.rs"]
mod direct_chat;
#[path = "echo.rs"]
mod echo;
#[path = "filter.rs"]
mod filter;
#[path = "game.rs"]
mod game;
#[path = "greeting.rs"]
mod greeting;
#[path = "group_chat.rs"]
mod group_chat;
#[path = "handler.rs"]
mod handler;
#[path = "heartbeat.rs"]
mod heartbeat;
#[path = "hello.rs"]
mod hello;
#[path = "limited.rs"]
mod limited;
#[path = "lower_case.rs"]
mod lower_case;
#[path = "once.rs"]
mod once;
#[path = "protected.rs"]
mod protected;
#[path = "replies.rs"]
mod replies;
#[path = "robust.rs"]
mod robust;
#[path = "rooms.rs"]
mod rooms;
#[path = "say.rs"]
mod say;
#[path = "stream.rs"]
mod stream;
#[path = "validated.rs"]
mod validated;

use switchboard::{Builder, Origins, Response, Result};

const INDEX: &str = include_str!("pages/gallery.html");

fn mount(builder: Builder) -> Builder {
    let mounts = [
        auth::mount,
        batch::mount,
        binary::mount,
        broadcast::mount,
        callbacks::mount,
        commands::mount,
        cors::mount,
        direct_chat::mount,
        echo::mount,
        filter::mount,
        game::mount,
        greeting::mount,
        group_chat::mount,
        handler::mount,
        heartbeat::mount,
        hello::mount,
        limited::mount,
        lower_case::mount,
        once::mount,
        protected::mount,
        replies::mount,
        robust::mount,
        rooms::mount,
        say::mount,
        stream::mount,
        validated::mount,
    ];
    // Pages of any site may try these; a server with anything to protect says which.
    let builder = builder.origins(Origins::Any).get("/gallery", |_| Response::html(INDEX));
    mounts.iter().fold(builder, |builder, mount| mount(builder))
}

fn main() -> Result<()> {
    common::serve(mount)
}

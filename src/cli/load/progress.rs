//! How far a run is, for whoever looks at a terminal.

use super::options::Mode;
use super::plan::Plan;
use super::shared::{Shared, Stage};
use super::table::grouped;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

/// A bar on stderr. Not there when that is no terminal.
pub(super) struct Progress {
    bar: ProgressBar,
    stage: Option<Stage>,
    /// When the last rate was read, and how much had been counted by then.
    before: (Instant, u64),
    rate: u64,
}

const STYLE: &str = "{prefix:>10} [{bar:30}] {msg}";

impl Progress {
    pub(super) fn start(plan: &Plan) -> Self {
        // On anything but a terminal it draws nothing.
        let bar = ProgressBar::with_draw_target(Some(plan.connections as u64), ProgressDrawTarget::stderr());
        let style = ProgressStyle::with_template(STYLE).unwrap_or_else(|_| ProgressStyle::default_bar());
        bar.set_style(style.progress_chars("=> "));
        Self { bar, stage: None, before: (Instant::now(), 0), rate: 0 }
    }

    pub(super) fn draw(&mut self, shared: &Shared, stage: Stage) {
        let (plan, live) = (&shared.plan, &shared.live);
        if self.stage != Some(stage) {
            self.stage = Some(stage);
            self.bar.set_prefix(match stage {
                Stage::Open => "connecting",
                Stage::Join => "joining",
                Stage::Run => plan.mode.name(),
                Stage::Settle => "settling",
                Stage::Close | Stage::Over => "closing",
            });
        }
        let (opened, failed) = (live.opened.load(Relaxed), live.failed.load(Relaxed));
        match stage {
            Stage::Open => {
                let failed = if failed == 0 { String::new() } else { format!(", {failed} failed") };
                self.show(
                    opened,
                    plan.connections as u64,
                    format!("{opened} of {} open{failed}", plan.connections),
                );
            }
            Stage::Run => {
                let ran = shared.begun().elapsed();
                let count = match plan.mode {
                    Mode::Idle => opened,
                    Mode::Churn | Mode::Storm => live.rounds.load(Relaxed),
                    Mode::FanOut | Mode::Echo | Mode::Stall => live.delivered.load(Relaxed),
                };
                let message = self.message(plan, count);
                let whole = plan.warmup + plan.duration;
                let left = whole.saturating_sub(ran).as_secs_f64().ceil();
                match plan.mode {
                    Mode::Storm => self.show(count, plan.rounds as u64, message),
                    _ => self.show(
                        (ran.as_millis() as u64).min(whole.as_millis() as u64),
                        whole.as_millis() as u64,
                        format!("{message}, {left} s left"),
                    ),
                }
            }
            Stage::Join | Stage::Settle | Stage::Close | Stage::Over => self.bar.tick(),
        }
    }

    fn message(&mut self, plan: &Plan, count: u64) -> String {
        let (since, before) = self.before;
        if Duration::from_millis(500) <= since.elapsed() {
            self.rate = (count.saturating_sub(before) as f64 / since.elapsed().as_secs_f64()) as u64;
            self.before = (Instant::now(), count);
        }
        match plan.mode {
            Mode::Idle => format!("{count} connections held"),
            Mode::Churn => format!("{} connections per second", grouped(self.rate)),
            Mode::Storm => format!("round {} of {}", (count + 1).min(plan.rounds as u64), plan.rounds),
            Mode::FanOut | Mode::Echo | Mode::Stall => {
                format!("{} deliveries per second", grouped(self.rate))
            }
        }
    }

    fn show(&self, position: u64, length: u64, message: String) {
        self.bar.set_length(length.max(1));
        self.bar.set_position(position);
        self.bar.set_message(message);
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}

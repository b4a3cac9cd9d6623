//! What was probably meant by a name that is none.

use clap::Command;
use clap::error::{ContextKind, ContextValue};

/// The flag of `keys` that is most like it, without its dashes, if any is.
pub(crate) fn flag(keys: &Command, name: &str) -> Option<String> {
    let asked = keys.clone().no_binary_name(true).disable_help_flag(true);
    let error = asked.try_get_matches_from([format!("--{name}")]).err()?;
    match error.get(ContextKind::SuggestedArg)? {
        ContextValue::String(flag) => Some(flag.trim_start_matches('-').into()),
        _ => None,
    }
}

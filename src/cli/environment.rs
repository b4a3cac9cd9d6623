//! Variables that look like options of the server and are none: an option whose name has a mistake in it would not hold,
//! and nobody would know.

use super::{Configured, nearest};
use clap::{Args, Command};
use std::ffi::OsString;

const PREFIX: &str = "SWITCHBOARD_";

/// What is to be said about each of them, in the order of their names. Never the value: it may be a secret.
pub(crate) fn strays(variables: impl Iterator<Item = (OsString, OsString)>) -> Vec<String> {
    let options = Configured::augment_args(Command::new("options"));
    let mut strays: Vec<String> = variables
        .filter(|(name, value)| !is_of_cluster(&name.to_string_lossy(), &value.to_string_lossy()))
        .filter_map(|(name, _)| stray(&options, &name.to_string_lossy()))
        .collect();
    strays.sort();
    strays
}

fn stray(options: &Command, name: &str) -> Option<String> {
    let beginning = name.get(..PREFIX.len()).filter(|beginning| beginning.eq_ignore_ascii_case(PREFIX))?;
    let mut variables = options.get_arguments().filter_map(|option| option.get_env()?.to_str());
    if variables.any(|variable| variable == name) {
        return None;
    }
    let key = name[beginning.len()..].to_ascii_lowercase().replace('_', "-");
    let is_option = |key: &str| options.get_arguments().any(|option| option.get_long() == Some(key));
    let meant = if is_option(&key) { Some(key) } else { nearest::flag(options, &key) };
    let advice = match meant {
        Some(key) => format!("did you mean {PREFIX}{}?", key.replace('-', "_").to_ascii_uppercase()),
        None => "`switchboard serve --help` lists all options with their variables".into(),
    };
    Some(format!("the variable {} is no option; {advice}", name.escape_debug()))
}

/// Kubernetes, and Docker with links, tell each container of the services around it; one that is called `switchboard` makes
/// `SWITCHBOARD_SERVICE_HOST`, `SWITCHBOARD_PORT=tcp://10.0.0.1:80`, `SWITCHBOARD_PORT_80_TCP_ADDR` and so on.
fn is_of_cluster(name: &str, value: &str) -> bool {
    let is_port = |(_, rest): (&str, &str)| rest.starts_with(|c: char| c.is_ascii_digit());
    ["tcp://", "udp://", "sctp://"].iter().any(|scheme| value.starts_with(scheme))
        || name.ends_with("_SERVICE_HOST")
        || name.contains("_SERVICE_PORT")
        || name.split_once("_PORT_").is_some_and(is_port)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(variables: &[(&str, &str)]) -> Vec<String> {
        strays(variables.iter().map(|(name, value)| (name.into(), value.into())))
    }

    #[test]
    fn a_name_with_a_mistake_is_told_with_the_right_one() {
        for (name, meant) in [
            ("SWITCHBOARD_MAX_MESAGE", "SWITCHBOARD_MAX_MESSAGE"),
            ("SWITCHBOARD_BINDD", "SWITCHBOARD_BIND"),
            ("SWITCHBOARD_TOKENS", "SWITCHBOARD_TOKEN"),
            ("SWITCHBOARD_CONFIGURATION", "SWITCHBOARD_CONFIG"),
            ("switchboard_bind", "SWITCHBOARD_BIND"),
            ("SWITCHBOARD_MAX-MESSAGE", "SWITCHBOARD_MAX_MESSAGE"),
        ] {
            let expected = format!("the variable {name} is no option; did you mean {meant}?");
            assert_eq!(said(&[(name, "swordfish")]), [expected]);
        }
        let unlike = said(&[("SWITCHBOARD_", ""), ("SWITCHBOARD_XYZZY", "")]);
        assert!(unlike.len() == 2 && unlike.iter().all(|text| text.contains("--help")), "{unlike:?}");
    }

    #[test]
    fn what_is_an_option_or_somebody_else_s_is_not_told() {
        let options = Configured::augment_args(Command::new("options"));
        let known: Vec<_> = options.get_arguments().filter_map(|option| option.get_env()?.to_str()).collect();
        assert!(known.contains(&"SWITCHBOARD_CONFIG") && known.contains(&"SWITCHBOARD_ROOM_RULES"));
        let known: Vec<_> = known.into_iter().map(|name| (name, "x")).collect();
        assert_eq!(said(&known), [""; 0]);
        let others = [
            ("PATH", "/bin"),
            ("SWITCHBOARD", "1"),
            ("SWITCHBOARD_SERVICE_HOST", "10.0.0.1"),
            ("SWITCHBOARD_SERVICE_PORT", "80"),
            ("SWITCHBOARD_SERVICE_PORT_HTTP", "80"),
            ("SWITCHBOARD_PORT", "tcp://10.0.0.1:80"),
            ("SWITCHBOARD_PORT_80_TCP", "tcp://10.0.0.1:80"),
            ("SWITCHBOARD_PORT_80_TCP_PROTO", "tcp"),
            ("SWITCHBOARD_WEB_PORT_8080_TCP_ADDR", "10.0.0.1"),
        ];
        assert_eq!(said(&others), [""; 0]);
        assert_eq!(said(&[("SWITCHBOARD_PORT", "80")]).len(), 1);
    }
}

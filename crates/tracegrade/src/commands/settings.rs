//! The settings of the server as flags, made from the server's own list, so that none is forgotten
//! and none is explained twice.

use std::path::PathBuf;
use std::sync::LazyLock;

use clap::{Arg, ArgAction, ArgMatches, Args, Command, FromArgMatches};
use server::Flags;
use server::config::{CONFIG_FILE_ENV, settings};

/// The settings that were given on the command line.
#[derive(Debug, Clone, Default)]
pub(crate) struct Settings {
    /// As the server reads them.
    pub(crate) flags: Flags,
}

const CONFIG: &str = "config";

/// The flags without their dashes; clap wants texts that live as long as the program.
static FLAGS: LazyLock<Vec<String>> = LazyLock::new(|| {
    settings()
        .iter()
        .map(|setting| setting.flag().trim_start_matches('-').to_owned())
        .collect()
});

impl Args for Settings {
    fn augment_args(command: Command) -> Command {
        let flags = settings().iter().zip(FLAGS.iter()).map(|(setting, flag)| {
            let default = setting.default_text();
            let help = format!(
                "{} [default: {default}] [env: {}]",
                setting.doc,
                setting.env()
            );
            let arg = Arg::new(setting.name)
                .long(flag.as_str())
                .help(help)
                .help_heading("Settings");
            match default.as_str() {
                // A switch is switched on by naming it.
                "true" | "false" => arg
                    .num_args(0..=1)
                    .require_equals(true)
                    .default_missing_value("true"),
                _ if setting.is_list() => arg.action(ArgAction::Append),
                _ => arg,
            }
        });
        let config = Arg::new(CONFIG)
            .long(CONFIG)
            .value_name("FILE")
            .value_parser(clap::value_parser!(PathBuf))
            .help(format!("The TOML file to read [env: {CONFIG_FILE_ENV}]"));
        command.arg(config).args(flags)
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl FromArgMatches for Settings {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let given = settings().iter().filter_map(|setting| {
            let values = matches.get_many::<String>(setting.name)?;
            let values: Vec<&str> = values.map(String::as_str).collect();
            Some((setting.name.to_owned(), values.join(",")))
        });
        let config = matches.get_one::<PathBuf>(CONFIG).cloned();
        Ok(Self {
            flags: Flags {
                config,
                values: given.collect(),
            },
        })
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_setting_is_a_flag_and_a_switch_needs_no_value() {
        let command = Settings::augment_args(Command::new("x").no_binary_name(true));
        let given = [
            "--listen",
            "127.0.0.1:0",
            "--allow-open",
            "--trace-idle",
            "5m",
            "--upstream",
            "a=http://a",
            "--upstream",
            "b=http://b",
        ];
        let matches = command.try_get_matches_from(given).unwrap();
        let Settings { flags } = Settings::from_arg_matches(&matches).unwrap();
        let values: Vec<_> = flags
            .values
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
            .collect();
        assert_eq!(
            values,
            [
                ("allow_open", "true"),
                ("listen", "127.0.0.1:0"),
                ("trace_idle", "5m"),
                ("upstream", "a=http://a,b=http://b")
            ]
        );
        assert_eq!(flags.config, None);
    }
}

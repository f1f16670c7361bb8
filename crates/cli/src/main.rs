//! The `apprentice` program. It never loads libtorch: verbs that train are handed to `apprentice-torch`.

use apprentice_cli::{Arguments, CliError, Console, commands};
use clap::Parser;
use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let console = Console::new(arguments.common.json, arguments.common.quiet);
    let result = commands::check_settings(&arguments).and_then(|()| match commands::needs_libtorch(&arguments.verb) {
        true => hand_over(),
        false => commands::run(&arguments, &console),
    });
    console.exit(result)
}

/// Become `apprentice-torch` with the same arguments.
fn hand_over() -> Result<(), apprentice_core::BoxedError> {
    use std::os::unix::process::CommandExt;
    let here = std::env::current_exe().ok();
    let trainer =
        here.as_ref().and_then(|p| p.parent()).map(|folder| folder.join("apprentice-torch")).unwrap_or_default();
    let mut command = std::process::Command::new(&trainer);
    command.args(std::env::args_os().skip(1));
    // libtorch's threads share the cores with those that render. Waiting ones must sleep, not spin: on two cores a
    // training step costs a third of the processor time then.
    if std::env::var_os("OMP_WAIT_POLICY").is_none() {
        command.env("OMP_WAIT_POLICY", "PASSIVE");
    }
    let error = command.exec();
    Err(CliError::new(
        format!("this command needs libtorch, and {} does not start: {error}", trainer.display()),
        "build it with `cargo build --release`, after `cargo xtask setup`",
    )
    .into())
}

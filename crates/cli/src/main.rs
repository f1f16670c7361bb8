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

/// What libtorch's process is started with, unless the user says otherwise. All of it changes speed and no number.
///
/// A thread that waits for the next operation spins for a few milliseconds and then sleeps: waking it up for each of a
/// step's hundreds of operations costs a tenth of the step, while one that never sleeps takes the processor from the threads
/// that render. Buffers lie on large pages: a step streams through more memory than the page tables' cache reaches.
const SURROUNDINGS: [(&str, &str); 3] =
    [("OMP_WAIT_POLICY", "PASSIVE"), ("GOMP_SPINCOUNT", "1000000"), ("GLIBC_TUNABLES", "glibc.malloc.hugetlb=1")];

/// Become `apprentice-torch` with the same arguments.
fn hand_over() -> Result<(), apprentice_core::BoxedError> {
    use std::os::unix::process::CommandExt;
    let here = std::env::current_exe().ok();
    let trainer =
        here.as_ref().and_then(|p| p.parent()).map(|folder| folder.join("apprentice-torch")).unwrap_or_default();
    let mut command = std::process::Command::new(&trainer);
    command.args(std::env::args_os().skip(1));
    for (name, value) in SURROUNDINGS {
        if std::env::var_os(name).is_none() {
            command.env(name, value);
        }
    }
    let error = command.exec();
    Err(CliError::new(
        format!("this command needs libtorch, and {} does not start: {error}", trainer.display()),
        "build it with `cargo build --release`, after `cargo xtask setup`",
    )
    .into())
}

//! The binary `vmhop`: from the command line to a command, its messages and its exit code.

use std::{
    io::{self, Write},
    process::ExitCode,
};

use clap::Parser as _;
use env_logger::Target;
use log::LevelFilter;
use tracer::{
    cli::{Cli, Command},
    commands, experiment,
    export::live::ExperimentLine,
    failure::Failure,
    lab,
    live::terminal::Messages,
};

fn main() -> ExitCode {
    let cli = Cli::parse();
    start_log(cli.verbose);
    run(cli, &mut io::stdout().lock()).unwrap_or_else(|failure| {
        if !failure.is_broken_pipe() {
            // Where standard error is closed as well there is nobody left to tell.
            let _ = writeln!(io::stderr(), "vmhop: {failure}");
        }
        failure.exit_code()
    })
}

fn run(cli: Cli, out: &mut dyn Write) -> Result<ExitCode, Failure> {
    match cli.command {
        Command::Doctor(args) => commands::doctor(&args, out),
        Command::Topology(args) => commands::topology(&args, out),
        Command::Record(args) => commands::record(&args, cli.verbose, out),
        Command::Live(args) => commands::live(&args, cli.verbose),
        Command::Watch(args) => commands::watch(&args, cli.verbose, out),
        Command::Report(args) => commands::report(&args, out),
        Command::Diff(args) => commands::diff(&args, out),
        Command::Profiles(args) => commands::profiles(&args, out),
        Command::Experiment(command) => {
            let mut line = ExperimentLine::new();
            experiment::run(&command, &mut |step| line.show(step), out)
        }
        Command::Lab(command) => lab::run(command, out).map_err(Failure::Run),
    }
}

/// Messages go to standard error, in the same form as errors; while a view is on the terminal they wait.
fn start_log(verbose: u8) {
    let level = match verbose {
        0 => LevelFilter::Warn,
        1 => LevelFilter::Info,
        2 => LevelFilter::Debug,
        _ => LevelFilter::Trace,
    };
    let mut log = env_logger::Builder::new();
    log.format(|out, record| {
        writeln!(out, "vmhop: {}: {}", record.level().as_str().to_lowercase(), record.args())
    });
    log.target(Target::Pipe(Box::new(Messages))).filter_level(level).init();
}

//! The `rowfold` binary: parses the command line, listens for signals, and hands over to `cli`.

use std::process::ExitCode;

use clap::Parser;
use rowfold::cli::{self, Cli};
use rowfold::ops::shutdown::Shutdown;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let cli = Cli::parse();
    // One TLS provider for all drivers; each would pick it itself, but only if it is the only one compiled in.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("rowfold: the async runtime could not be started: {error}");
            return ExitCode::FAILURE;
        }
    };
    let shutdown = Shutdown::default();
    let code = runtime.block_on(async {
        tokio::spawn(stop_on_signals(shutdown.clone()));
        cli::run(cli, shutdown).await
    });
    // Work that is still under way on other threads is not waited for: it repeats after a restart. Nor is the runtime taken
    // down: tasks of the MongoDB driver (3.9.1) panic when those that they talk to go first, and would print that after
    // our last word. The process ends here.
    std::mem::forget(runtime);
    code
}

/// The first signal asks for an orderly stop, the second ends the process at once. Either way nothing is lost.
async fn stop_on_signals(shutdown: Shutdown) {
    use tokio::signal::unix::{SignalKind, signal};
    let (Ok(mut interrupt), Ok(mut terminate)) = (signal(SignalKind::interrupt()), signal(SignalKind::terminate()))
    else {
        eprintln!("rowfold: signals cannot be listened for; stop the process by kill -9, nothing is lost");
        return;
    };
    let mut asked = false;
    loop {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
        if asked {
            std::process::exit(130);
        }
        asked = true;
        eprintln!("rowfold: stopping after what is under way (once more to stop at once)");
        shutdown.request();
    }
}

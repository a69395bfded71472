//! The command line, by hand: `--name value` and `--name`.

/// What follows `name`, or this; ends the program when it is not of the wanted kind.
pub fn arg<T: std::str::FromStr>(name: &str, default: &str) -> T {
    let text = text(name, default);
    text.parse().unwrap_or_else(|_| {
        eprintln!("{name} {text}: cannot be read");
        std::process::exit(3)
    })
}

/// The same as text.
pub fn text(name: &str, default: &str) -> String {
    let mut args = std::env::args().skip_while(|arg| arg != name).skip(1);
    args.next().unwrap_or_else(|| default.to_owned())
}

/// Whether `name` is there.
pub fn flag(name: &str) -> bool {
    std::env::args().any(|arg| arg == name)
}

/// Ends the program with what may be said to it, when that was asked for or is not known.
pub fn help(usage: &str, known: &[&str]) {
    let stranger =
        std::env::args().skip(1).find(|arg| arg.starts_with('-') && !known.contains(&arg.as_str()));
    if flag("--help") {
        println!("{usage}");
        std::process::exit(0);
    }
    if let Some(stranger) = stranger {
        eprintln!("{stranger} is not known\n\n{usage}");
        std::process::exit(3);
    }
}

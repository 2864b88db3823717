#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| (fuzzed::target("config_speak").run)(data));

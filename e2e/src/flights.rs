//! The real data of `examples/flights`: every flight of January 2013 from New York.

use std::collections::BTreeMap;

use anyhow::{Result, ensure};

use crate::clients::Got;

/// The flights as the data set has them, under a heading.
const FLIGHTS: &str = include_str!("../../examples/flights/flights-2013-01.csv");
/// Flights without the heading.
pub const FLIGHTS_COUNT: usize = 27_004;

/// Key (the plane's tail number) and flight, in the order of the data set.
pub fn keyed_flights() -> Vec<(&'static str, &'static str)> {
    FLIGHTS.lines().skip(1).map(|line| (line.split(',').nth(11).unwrap_or_default(), line)).collect()
}

/// The flights as producers read them: lines of key, tab and flight.
pub fn flights_input() -> String {
    keyed_flights().iter().map(|(key, flight)| format!("{key}\t{flight}\n")).collect()
}

/// Whether a group got each flight once, every member some, and the flights of a plane in one partition and in the
/// order of the data set. `got` is what each member got, of any topic.
///
/// # Errors
/// When that is not so.
pub fn check_flights(topic: &str, got: &[Vec<Got>]) -> Result<()> {
    let shares: Vec<usize> =
        got.iter().map(|member| member.iter().filter(|each| each.topic == topic).count()).collect();
    println!("{topic}: the members got {shares:?}");
    ensure!(shares.iter().all(|share| *share > 0), "a member got nothing of {topic}: {shares:?}");
    ensure!(shares.iter().sum::<usize>() == FLIGHTS_COUNT, "{topic}: not each flight once: {shares:?}");
    let mut expected: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for (key, flight) in keyed_flights() {
        expected.entry(key).or_default().push(flight);
    }
    let mut found: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    let mut home: BTreeMap<&str, i32> = BTreeMap::new();
    for each in got.iter().flatten().filter(|each| each.topic == topic) {
        found.entry(&each.key).or_default().push(&each.value);
        let partition = *home.entry(&each.key).or_insert(each.partition);
        ensure!(partition == each.partition, "{topic}: the flights of {} are in two partitions", each.key);
    }
    for (key, flights) in expected {
        ensure!(found.get(key) == Some(&flights), "{topic}: the flights of {key:?} came otherwise");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn got() -> Vec<Vec<Got>> {
        let mut members = vec![Vec::new(), Vec::new()];
        for (offset, (key, value)) in (0..).zip(keyed_flights()) {
            let partition = i32::from(key.as_bytes().last().is_some_and(|last| last % 2 == 0));
            let (topic, key, value) = ("flights".to_owned(), key.to_owned(), value.to_owned());
            members[partition.unsigned_abs() as usize].push(Got { topic, partition, offset, key, value });
        }
        members
    }

    #[test]
    fn a_lost_a_doubled_and_a_late_flight_are_found() {
        assert!(check_flights("flights", &got()).is_ok());
        let mut lost = got();
        lost[0].pop();
        assert!(check_flights("flights", &lost).is_err());
        let mut doubled = got();
        let again = doubled[0][0].clone();
        doubled[0].push(again);
        assert!(check_flights("flights", &doubled).is_err());
        let mut late = got();
        let first = late[0].remove(0);
        late[0].push(first);
        assert!(check_flights("flights", &late).is_err());
    }

    #[test]
    fn a_member_without_flights_and_a_split_plane_are_found() {
        let mut one = got();
        let all = one.concat();
        one = vec![all, Vec::new()];
        assert!(check_flights("flights", &one).is_err());
        let mut split = got();
        split[0][0].partition = 1;
        assert!(check_flights("flights", &split).is_err());
    }
}

/// What it costs to evict a table.
///
/// The cost of a way is the time that it takes now, and the time that it takes to have the table back, if it is needed
/// again:
///
///     seconds(way) = out(way) + probability x back(way)
///
/// `out` is nothing for a drop, else bytes by bandwidth. `back` is bytes by bandwidth, or the time to run the model
/// again, with all that has to be run again for it; that counts `rerunFactor` times, since a model that runs again
/// needs a slot, and memory while memory is short, so that something else is evicted for it. A reader that is known
/// comes for certain, whenever that is. For a cache nobody knows: half is as good a guess as any, and only its order
/// among other tables depends on it. A cache is read again by whoever needs it and has been granted memory for that, so
/// it counts once.
///
/// The best way of a table is the one with the lowest cost, since each way frees the same bytes for the same time.
///
/// Which table goes is another question. What is gained by an eviction is memory for a while: bytes, until the table
/// has to be back. So tables are ordered by
///
///     weight = seconds(best way) / (bytes x (1 + distance))
///
/// with the distance in grants until the next reader. Equal in size and cost, the one goes that is needed last, as
/// Belady's rule has it; equal in distance, the one that is cheapest per byte. A table whose next reader is far away
/// may cost more now: the one that is needed next would have to be brought back at once, and another one evicted for
/// it.
///
/// The last question is whether to evict at all, when something runs and will make room by itself. A model that starts
/// at once ends earlier by at most the time that it runs, on average by half of it: what costs more than that isn't
/// evicted (`waitFactor`).
///
/// docs/decisions/eviction.md has the figures behind the two factors and the weight.
struct EvictionCost: Sendable {
    /// How many models of its run are granted before the next reader.
    enum Distance: Sendable {
        case known(Int)
        /// No reader is known; it is taken to be as far ahead as the last one is behind.
        case guessed(Int)
    }

    /// How much dearer it is to run a model again than the time that takes.
    static let rerunFactor = 2.0
    /// How much of the time that a model runs is saved by starting it at once.
    static let waitFactor = 0.5

    let table: ResourceManager.TableFacts
    let residentBytes: Int
    let distance: Distance
    let rates: ResourceManager.Rates

    /// What a way costs, in seconds.
    func seconds(_ way: ResourceManager.Way) -> Double {
        let (out, back): (Double, Double) =
            switch way {
            case .drop: (0, (table.recomputeSeconds ?? 0) * (table.owner == nil ? 1 : Self.rerunFactor))
            case .spill: (time(rates.spillBytesPerSecond), time(rates.restoreBytesPerSecond))
            case .swap: (time(rates.swapOutBytesPerSecond), time(rates.swapInBytesPerSecond))
            case .limit: (time(rates.limitBytesPerSecond), time(rates.swapInBytesPerSecond))
            }
        if case .guessed = distance { return out + back / 2 }
        return out + back
    }

    /// The way that costs least, and what it costs. There is at least one.
    func cheapest(of ways: Set<ResourceManager.Way>) -> (ResourceManager.Way, Double) {
        ways.map { ($0, seconds($0)) }.min { ($0.1, $0.0) < ($1.1, $1.0) }!
    }

    /// What the memory that is gained costs, per byte and step that it is there.
    func weight(_ seconds: Double) -> Double {
        let steps =
            switch distance {
            case .known(let steps), .guessed(let steps): steps
            }
        return seconds / (Double(max(1, residentBytes)) * Double(1 + steps))
    }

    private func time(_ bytesPerSecond: Double) -> Double { Double(residentBytes) / bytesPerSecond }
}

extension ResourceManager {
    /// How fast memory can be moved, in bytes per second; all above zero. Measured on the machine as soon as something
    /// was moved; until then what an ordinary disk does.
    public struct Rates: Equatable, Sendable {
        /// Writing a table to a file.
        public var spillBytesPerSecond: Double
        /// Reading it back.
        public var restoreBytesPerSecond: Double
        /// Having pages swapped out by advice.
        public var swapOutBytesPerSecond: Double
        /// Faulting them in again, however they went.
        public var swapInBytesPerSecond: Double
        /// Having pages swapped out by a lower limit.
        public var limitBytesPerSecond: Double

        /// Rates; without figures those of an ordinary disk.
        public init(
            spillBytesPerSecond: Double = 500e6, restoreBytesPerSecond: Double = 1e9,
            swapOutBytesPerSecond: Double = 400e6, swapInBytesPerSecond: Double = 200e6,
            limitBytesPerSecond: Double = 300e6
        ) {
            let all = [
                spillBytesPerSecond, restoreBytesPerSecond, swapOutBytesPerSecond, swapInBytesPerSecond,
                limitBytesPerSecond,
            ]
            precondition(all.allSatisfy { $0 > 0 }, "nothing is moved at no speed")
            self.spillBytesPerSecond = spillBytesPerSecond
            self.restoreBytesPerSecond = restoreBytesPerSecond
            self.swapOutBytesPerSecond = swapOutBytesPerSecond
            self.swapInBytesPerSecond = swapInBytesPerSecond
            self.limitBytesPerSecond = limitBytesPerSecond
        }
    }

    /// How tables are chosen for eviction.
    public enum Policy: Equatable, Sendable {
        /// By what it costs.
        case adaptive
        /// Tables that weren't used for the longest time go first, each by the cheapest of its ways; for comparison.
        case leastRecentlyUsed
    }
}

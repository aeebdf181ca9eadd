import Store

/// What sealed segments hold for nothing.
extension Engine {
    /// Begins to rewrite sealed segments of which little is still needed, each on a thread of its own: no page of them can be given
    /// back otherwise.
    func compact() {
        do {
            for segment in try store.compactable() {
                move(try store.beginCompaction(segment), .compact) { [weak self] outcome in self?.compacted(outcome) }
            }
        } catch {
            noteCompaction(failed: error)
        }
    }

    /// A segment has been rewritten, or not: who was to be lent its tables goes on.
    private func compacted(_ outcome: MoveOutcome) {
        let waiting = waitingForCompaction
        waitingForCompaction = []
        defer { for goOn in waiting { goOn() } }
        switch outcome {
        case .moved(let figures): compactedBytes += UInt64(clamping: figures.bytes)
        case .superseded: break
        case .failed(let error): noteCompaction(failed: error)
        }
    }

    private func noteCompaction(failed error: any Error) {
        noteOnce("memory of which little is needed was not given back", error)
    }
}

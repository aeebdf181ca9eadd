/// A queue of ranks that gives the smallest first: a binary heap.
struct RankQueue: Sendable {
    private var heap: [Int] = []

    /// Adds a rank, in logarithmic time.
    mutating func push(_ rank: Int) {
        heap.append(rank)
        var child = heap.count - 1
        while child > 0 {
            let parent = (child - 1) / 2
            if heap[parent] <= heap[child] {
                break
            }
            heap.swapAt(parent, child)
            child = parent
        }
    }

    /// Takes out the smallest rank, in logarithmic time.
    mutating func pop() -> Int? {
        guard let smallest = heap.first else {
            return nil
        }
        let last = heap.removeLast()
        if heap.isEmpty {
            return smallest
        }
        heap[0] = last
        var parent = 0
        while true {
            var child = 2 * parent + 1
            if child >= heap.count {
                break
            }
            if child + 1 < heap.count, heap[child + 1] < heap[child] {
                child += 1
            }
            if heap[parent] <= heap[child] {
                break
            }
            heap.swapAt(parent, child)
            parent = child
        }
        return smallest
    }
}

import Store

/// How a preview is made of a table: with the table it tells the text.
struct PreviewFormat: Hashable {
    let rows: Int
    let width: Int
    let isTail: Bool

    init(_ options: RunOptions) {
        (rows, width, isTail) = (options.previewRows, options.previewWidth, options.previewsTail)
    }
}

/// The texts of previews of kept results: a run that shows one again needs no worker for it.
///
/// A table never changes and its number is never used again, so a text stays right as long as its table is kept. Texts come from workers, so
/// there is a bound for each and for all. Used on the engine's thread.
struct KeptPreviews {
    /// A longer text is not kept, in bytes.
    static let textBytesMax = 64 << 10
    /// When all texts would have more bytes than this, those that are there go.
    static let bytesMax = 8 << 20

    private var texts: [TableID: [PreviewFormat: String]] = [:]
    private var bytes = 0

    /// The text of a table's preview; nil where it is to be made.
    func text(of table: TableID, as format: PreviewFormat) -> String? { texts[table]?[format] }

    /// Takes in a text.
    mutating func add(_ text: String, of table: TableID, as format: PreviewFormat) {
        let size = text.utf8.count
        guard size <= Self.textBytesMax, texts[table]?[format] == nil else { return }
        if bytes + size > Self.bytesMax { (texts, bytes) = ([:], 0) }
        texts[table, default: [:]][format] = text
        bytes += size
    }

    /// Forgets the texts of a table.
    mutating func remove(_ table: TableID) {
        for text in texts.removeValue(forKey: table)?.values ?? [:].values { bytes -= text.utf8.count }
    }
}

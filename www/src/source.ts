import { Unzstd } from "@nsscope/wasm";

/** Where the bytes are. `read` gives at most `length` bytes from `offset`; none at the end. */
export interface Source {
  read(offset: number, length: number): Promise<Uint8Array>;
}

/** The bytes of a file as it is. */
export class Plain implements Source {
  constructor(private readonly blob: Blob) {}

  async read(offset: number, length: number): Promise<Uint8Array> {
    return new Uint8Array(await this.blob.slice(offset, offset + length).arrayBuffer());
  }
}

/**
 * The bytes of a packed file. It can only be unpacked from its beginning, so a read that goes back unpacks it anew: the
 * metadata of a perf.data file is partly behind its records.
 */
export class Packed implements Source {
  private reader: ReadableStreamDefaultReader<Uint8Array> | undefined;
  /** What was unpacked last and not yet given out, and where it begins. */
  private held = new Uint8Array(0);
  private at = 0;

  constructor(
    private readonly blob: Blob,
    private readonly unpack: (stream: ReadableStream<Uint8Array>) => ReadableStream<Uint8Array>,
  ) {}

  async read(offset: number, length: number): Promise<Uint8Array> {
    if (this.reader === undefined || offset < this.at) {
      // One that has failed cannot be cancelled, and need not.
      await this.reader?.cancel().catch(() => undefined);
      this.reader = this.unpack(this.blob.stream()).getReader();
      this.held = new Uint8Array(0);
      this.at = 0;
    }
    while (this.at + this.held.length <= offset) {
      this.at += this.held.length;
      const { done, value } = await this.reader.read();
      this.held = new Uint8Array(0);
      if (done) {
        return this.held;
      }
      this.held = new Uint8Array(value);
    }
    const skip = offset - this.at;
    const piece = this.held.slice(skip, skip + length);
    this.held = this.held.slice(skip + piece.length);
    this.at = offset + piece.length;
    return piece;
  }
}

function unzstd(stream: ReadableStream<Uint8Array>): ReadableStream<Uint8Array> {
  const unpacker = new Unzstd();
  const transform = new TransformStream<Uint8Array, Uint8Array>({
    transform(chunk, controller) {
      unpacker.push(chunk);
      for (let plain = unpacker.pull(); plain.length > 0; plain = unpacker.pull()) {
        controller.enqueue(plain);
      }
    },
  });
  return stream.pipeThrough(transform);
}

function gunzip(stream: ReadableStream<Uint8Array>): ReadableStream<Uint8Array> {
  return (stream as ReadableStream<Uint8Array<ArrayBuffer>>).pipeThrough(new DecompressionStream("gzip"));
}

/** The bytes of a file, unpacked where it is gzip or zstd: which it is, its first bytes say. */
export async function source(blob: Blob): Promise<Source> {
  const magic = new Uint8Array(await blob.slice(0, 4).arrayBuffer());
  const begins = (...bytes: number[]) => bytes.every((byte, index) => magic[index] === byte);
  if (begins(0x1f, 0x8b)) {
    return new Packed(blob, gunzip);
  }
  return begins(0x28, 0xb5, 0x2f, 0xfd) ? new Packed(blob, unzstd) : new Plain(blob);
}

// Who is behind the keeper's door: each call is counted from its beginning to its end, so that whoever closes the keeper
// can wait for all of them, and none comes in afterwards. A stream is a call for each of its pieces, for nobody knows
// whether the next one will ever be asked for.

export interface Door {
  readonly closed: boolean;
  /** Aborts when the door is closed: what would take long may end early. */
  readonly closing: AbortSignal;
  /** Throws once the door is closed. */
  refuseIfClosed(): void;
  /** Does the work, and is open to it until it is over; rejects once the door is closed. */
  counted<Value>(work: () => Promise<Value>): Promise<Value>;
  /** The same pieces. Once the door is closed the next one is an error, so that what was cut off never looks whole. */
  each<Piece>(source: AsyncIterable<Piece>): AsyncGenerator<Piece, void, undefined>;
  /** Lets nobody in any more. */
  close(): void;
  /** Resolves when nobody is behind it. */
  idle(): Promise<void>;
}

export function createDoor(): Door {
  const closing = new AbortController();
  let underWay = 0;
  let whenIdle = () => {};
  const refuseIfClosed = () => {
    if (closing.signal.aborted) throw new TypeError("the keeper has been closed");
  };
  const counted = async <Value>(work: () => Promise<Value>): Promise<Value> => {
    refuseIfClosed();
    underWay++;
    try {
      return await work();
    } finally {
      if (--underWay === 0) whenIdle();
    }
  };

  return {
    get closed() {
      return closing.signal.aborted;
    },
    closing: closing.signal,
    refuseIfClosed,
    counted,
    async *each(source) {
      const pieces = source[Symbol.asyncIterator]();
      try {
        for (;;) {
          const next = await counted(() => pieces.next());
          if (next.done) return;
          yield next.value;
        }
      } finally {
        await pieces.return?.();
      }
    },
    close: () => closing.abort(),
    idle: () =>
      new Promise((resolve) => {
        whenIdle = resolve;
        if (underWay === 0) resolve();
      }),
  };
}

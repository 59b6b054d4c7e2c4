//! The body of an object: read in large pieces into buffers of the platform's, and cancelled when it is dropped.

use bytes::Bytes;
use futures_util::stream::{self, BoxStream, StreamExt as _};
use object_store::Result;
use object_store::path::Path;
use wasm_bindgen::prelude::wasm_bindgen;
use wasm_bindgen::{JsCast as _, JsValue};
use worker::js_sys::{Object, Promise, Reflect, Uint8Array};
use worker::send::{SendFuture, SendWrapper};
use worker::wasm_bindgen_futures::{JsFuture, spawn_local};

use super::error::{failed, generic};

/// Bytes of a piece. The platform's own are of 4 KiB, and each costs a turn of the event loop.
const PIECE: u64 = 256 * 1024;

#[wasm_bindgen(raw_module = "./platform.js")]
extern "C" {
    /// Gives the memory of a view back that nobody will look at again.
    fn spent(view: &Uint8Array);
}

#[wasm_bindgen(raw_module = "./instance.js")]
extern "C" {
    /// Has a body closed if this instance is lost before it is [released](release).
    fn hold(reader: &Reader);

    fn release(reader: &Reader);
}

#[wasm_bindgen]
extern "C" {
    /// `ReadableStreamBYOBReader`, with what workerd adds to it.
    type Reader;

    /// Fills `view` with `least` bytes or more; with fewer at the end of the stream. The view's buffer is given away.
    #[wasm_bindgen(method, catch, js_name = readAtLeast)]
    fn read_at_least(this: &Reader, least: u32, view: &Uint8Array) -> Result<Promise, JsValue>;

    #[wasm_bindgen(method, catch)]
    fn cancel(this: &Reader) -> Result<Promise, JsValue>;

    type Stream;

    #[wasm_bindgen(method, catch, js_name = getReader)]
    fn reader(this: &Stream, options: &JsValue) -> Result<Reader, JsValue>;

    /// What a reader's promise resolves to.
    type Piece;

    #[wasm_bindgen(method, getter)]
    fn value(this: &Piece) -> Option<Uint8Array>;
}

/// An open body. Dropping it closes it.
pub(super) struct Body {
    location: Path,
    reader: SendWrapper<Reader>,
    ended: bool,
}

impl Body {
    pub(super) fn new(location: Path, body: worker::ObjectBody<'_>) -> worker::Result<Self> {
        let worker::ResponseBody::Stream(stream) = body.response_body()? else {
            return Err(worker::Error::RustError("the object has no body".to_owned()));
        };
        let options = Object::new();
        Reflect::set(&options, &"mode".into(), &"byob".into())?;
        let reader = stream.unchecked_into::<Stream>().reader(&options)?;
        hold(&reader);
        Ok(Self { location, reader: SendWrapper::new(reader), ended: false })
    }

    /// The body as `length` bytes in pieces. A body that ends before is an error.
    pub(super) fn chunks(self, length: u64) -> BoxStream<'static, Result<Bytes>> {
        stream::try_unfold((self, length), |(mut body, left)| {
            SendFuture::new(async move {
                if left == 0 {
                    return Ok(None);
                }
                let bytes = body.piece(left.min(PIECE)).await?;
                let left = left - bytes.len() as u64;
                body.ended = left == 0;
                Ok(Some((bytes, (body, left))))
            })
        })
        .boxed()
    }

    async fn piece(&self, length: u64) -> Result<Bytes> {
        let failed = |error: JsValue| failed(&self.location, &error.into());
        let length = u32::try_from(length).unwrap_or(u32::MAX);
        let view = Uint8Array::new_with_length(length);
        let promise = self.reader.read_at_least(length, &view).map_err(failed)?;
        let piece: Piece = JsFuture::from(promise).await.map_err(failed)?.unchecked_into();
        let value = piece.value().filter(|value| value.length() == length);
        let value = value.ok_or_else(|| generic(format!("{}: the body was cut short", self.location).into()))?;
        let bytes = value.to_vec().into();
        spent(&value);
        Ok(bytes)
    }
}

impl Drop for Body {
    fn drop(&mut self) {
        release(&self.reader);
        // What was read to its end is closed by that.
        if !self.ended
            && let Ok(promise) = self.reader.cancel()
        {
            spawn_local(async move {
                // Nobody is left who would want to know that it could not be cancelled.
                let _ = JsFuture::from(promise).await;
            });
        }
    }
}

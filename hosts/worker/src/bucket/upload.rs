//! An object that is written in parts.

use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use futures_util::FutureExt as _;
use object_store::path::Path;
use object_store::{MultipartUpload, PutPayload, PutResult, Result, UploadPart};
use worker::UploadedPart;
use worker::send::{SendFuture, SendWrapper};

use super::error::failed;

/// An upload that was begun. All parts but the last have to be of one size, at least 5 MiB.
#[derive(Debug)]
pub(super) struct Upload {
    bucket: SendWrapper<worker::Bucket>,
    location: Path,
    id: String,
    begun: u16,
    /// Numbers and ETags of the parts that are there.
    parts: Arc<Mutex<Vec<(u16, String)>>>,
}

impl Upload {
    pub(super) async fn begin(bucket: SendWrapper<worker::Bucket>, location: Path) -> Result<Self> {
        let upload = bucket.create_multipart_upload(location.as_ref()).execute().await;
        let id = upload.map_err(|error| failed(&location, &error))?.upload_id().await;
        Ok(Self { bucket, location, id, begun: 0, parts: Arc::default() })
    }

    fn handle(&self) -> Result<worker::MultipartUpload> {
        let handle = self.bucket.resume_multipart_upload(self.location.as_ref(), self.id.as_str());
        handle.map_err(|error| failed(&self.location, &error))
    }
}

/// A payload in one piece, as the binding takes it.
pub(super) fn joined(payload: &PutPayload) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(payload.content_length());
    payload.iter().for_each(|part| bytes.extend_from_slice(part));
    bytes
}

#[async_trait]
impl MultipartUpload for Upload {
    fn put_part(&mut self, data: PutPayload) -> UploadPart {
        self.begun += 1;
        let (number, location, parts) = (self.begun, self.location.clone(), self.parts.clone());
        let handle = self.handle();
        SendFuture::new(async move {
            let part = handle?.upload_part(number, joined(&data)).await.map_err(|error| failed(&location, &error))?;
            parts.lock().unwrap_or_else(PoisonError::into_inner).push((number, part.etag()));
            Ok(())
        })
        .boxed()
    }

    async fn complete(&mut self) -> Result<PutResult> {
        SendFuture::new(async {
            let mut parts = std::mem::take(&mut *self.parts.lock().unwrap_or_else(PoisonError::into_inner));
            parts.sort_unstable();
            let parts = parts.into_iter().map(|(number, etag)| UploadedPart::new(number, etag));
            let object = self.handle()?.complete(parts).await.map_err(|error| failed(&self.location, &error))?;
            Ok(PutResult {
                e_tag: Some(object.etag()),
                version: Some(object.version()),
                extensions: Default::default(),
            })
        })
        .await
    }

    async fn abort(&mut self) -> Result<()> {
        SendFuture::new(async { self.handle()?.abort().await.map_err(|error| failed(&self.location, &error)) }).await
    }
}

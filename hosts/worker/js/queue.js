// The messages of a queue: which CARs were put into the bucket or deleted. What is to be done with each the instance says; here it
// is done. A message that takes the instance along is tried alone, so that it costs no other one its tries.

import { InstanceLost, instance, log } from './instance.js'
import { limited } from './limits.js'

/** Seconds before messages are tried again under which the instance was lost. */
const AFTER_LOSS = 30

export async function consume (batch, env) {
  const { messages } = batch
  try {
    await settle(messages, env)
  } catch (error) {
    failed(error)
    if (messages.length === 1) return again(messages[0])
    for (const message of messages) {
      try {
        await settle([message], env)
      } catch (error) {
        failed(error)
        again(message)
      }
    }
  }
}

async function settle (messages, env) {
  const bodies = JSON.stringify(messages.map(({ body }) => body ?? null))
  const verdicts = JSON.parse(await instance().enter((exports) => exports.consume(limited(env, false), bodies)))
  for (const [n, message] of messages.entries()) await act(message, verdicts[n], env)
}

async function act (message, verdict, env) {
  const { key, why } = verdict
  switch (verdict.do) {
    case 'ack':
      return message.ack()
    case 'retry':
      if (why) log('not indexed yet', { level: 'warn', attempts: message.attempts, why })
      return message.retry({ delaySeconds: verdict.after })
    case 'bury':
      log('not indexed', { key, why })
      // Without the binding it is tried until the platform itself moves it there.
      if (!env.DEAD_LETTERS) return again(message)
      await env.DEAD_LETTERS.send({ why, notification: message.body })
      return message.ack()
  }
}

function again (message) {
  message.retry({ delaySeconds: AFTER_LOSS })
}

/** The loss of the instance is in the log already. */
function failed (error) {
  if (!(error instanceof InstanceLost)) log('event failed', { of: 'queue', error: String(error) })
}
